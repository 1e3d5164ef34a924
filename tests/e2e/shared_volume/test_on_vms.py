"""Real mounts: two VMs, whose kernel has an NFS client and ip_vs, mount the volume of a server on the other nodes."""

import json
import re
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import kill
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kube_registry.names import NFS_SERVER, selector
from kube_registry.preflight.probe_pod import PROBE
from lab import vm
from lab.debian_image import provide_debian
from lab.docker_site import Engine
from lab.progress import Progress
from lab.vm import VmNode
from tests.bench.forwarders import process_in
from tests.conftest import CLUSTER, Lab, lab_with
from tests.e2e.commands import commands_of
from tests.e2e.conftest import CHECKOUT, Program, new_program
from tests.e2e.library.conftest import installed, python_of, wheel
from tests.e2e.shared_volume.own_disk import CLASS, offer, own_disk
from tests.e2e.shared_volume.pods import GONE_SECONDS, acknowledged, phase, pods, said, until

__all__ = ["installed", "wheel"]

pytestmark = [pytest.mark.lab, pytest.mark.vm, pytest.mark.timeout(1200)]

NAMESPACE = "kube-registry-shared"
DISK = "shared"
LABEL = "nfs"
WRITERS = ("one", "two")
KILLS = 5

APPEND = """\
n=0
while :; do
    n=$((n + 1))
    echo "$HOSTNAME $n" | dd of=/shared/$HOSTNAME oflag=append conv=notrunc,fsync 2>/dev/null && echo "acknowledged $n"
done
"""


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """A cluster of its own."""
    with lab_with(pytestconfig, f"{CLUSTER}-vms", "iptables") as running:
        yield running


@pytest.fixture(scope="module")
def vms(lab: Lab) -> Iterator[list[VmNode]]:
    """Two VMs of the cluster, with a label."""
    with ThreadPoolExecutor() as pool:
        joined = list(pool.map(lambda _: vm.join(lab.cluster.name), WRITERS))
    for each in joined:
        lab.kubectl("label", "node", each.name, f"{LABEL}=yes")
    yield joined
    for each in joined:
        vm.leave(each)


@pytest.fixture(scope="module")
def disk(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file system behind the server, mounted on this machine, too."""
    with own_disk(lab, tmp_path_factory.mktemp("disk"), DISK) as place:
        yield place


@pytest.fixture(scope="module")
def program(
    lab: Lab,
    checkout: Path,
    vms: list[VmNode],  # noqa: ARG001 - they have joined
    disk: Path,  # noqa: ARG001 - it is offered
) -> Iterator[Program]:
    """The program with a shared volume that the VMs mount."""
    provide_debian(Engine(lab.env["DOCKER_HOST"]), Progress(Console(stderr=True)))
    made = new_program(lab, checkout, checkout)
    made.configure(
        kubeContext=lab.cluster.kube_context,
        images_app_context="./app",
        sharedVolume_claims_default="1Gi",
        sharedVolume_size="1Gi",
        sharedVolume_storageClass=CLASS,
        sharedVolume_nodeSelector_nfs="yes",
    )
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def deployed(program: Program) -> Program:
    program.up()
    return program


@contextmanager
def programs_only(node: VmNode, cluster_ip: str) -> Iterator[None]:
    """A node on which programs reach a cluster IP and its kernel does not, as with Cilium instead of kube-proxy."""
    rule = f"meta skuid 0 ip daddr {cluster_ip} tcp dport 2049 reject with tcp reset"
    table = f"table ip test {{ chain out {{ type filter hook output priority -200; {rule}; }}; }}"
    assert node.run("nft", "-f", "-", given=table.encode()).returncode == 0
    try:
        yield
    finally:
        node.run("nft", "delete", "table", "ip", "test")


def change_proxy_modes(lab: Lab, vms: list[VmNode], mode: str) -> None:
    """Change kube-proxy's mode on nodes without a mount: connections through the old rules break."""

    def unmounted() -> bool:
        return all(each.run("grep", "--quiet", " nfs4 ", "/proc/mounts").returncode == 1 for each in vms)

    until(lab, unmounted, "the volume to be unmounted", seconds=GONE_SECONDS)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda each: each.change_proxy_mode(mode), vms))


def server(lab: Lab) -> dict[str, Any]:
    """The pod of the server that is not ending."""
    found = lab.get("pods", "--namespace", NAMESPACE, "--selector", selector(NFS_SERVER))
    (only,) = (each for each in found if "deletionTimestamp" not in each["metadata"])
    return only


def mounts_afresh(lab: Lab, program: Program) -> set[str]:
    """Forget which nodes have mounted the volume, update, and return the nodes that have mounted it now."""
    lab.kubectl("delete", "configmap", PROBE, "--namespace", NAMESPACE, "--ignore-not-found")
    program.up()
    records = lab.kubectl("get", "configmap", PROBE, "--namespace", NAMESPACE, "--output", "jsonpath={.data.nodes}")
    return {entry[0] for entry in json.loads(records)}


def uids(lab: Lab) -> set[str]:
    return {each["metadata"]["uid"] for each in lab.get("nodes", "--selector", LABEL)}


@pytest.mark.usefixtures("deployed")
class TestMounts:
    @pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
    def test_every_node_mounts_by_the_cluster_ip(
        self, lab: Lab, deployed: Program, vms: list[VmNode], mode: str
    ) -> None:
        change_proxy_modes(lab, vms, mode)
        assert mounts_afresh(lab, deployed) == uids(lab)
        (service,) = lab.get("services", "--namespace", NAMESPACE)
        assert deployed.output("sharedVolume")["address"] == service["spec"]["clusterIP"]

    def test_one_directory_is_written_and_read_on_two_nodes(
        self,
        lab: Lab,
        vms: list[VmNode],
        disk: Path,
    ) -> None:
        with pods(lab, {"writes": (vms[0], "echo $HOSTNAME > /shared/note; sync /shared/note")}):
            until(lab, lambda: phase(lab, "writes") == "Succeeded", "the note to be written", seconds=60)
            with pods(lab, {"reads": (vms[1], "cat /shared/note; id -u; stat -c %u:%g /shared/note")}):
                until(lab, lambda: phase(lab, "reads") == "Succeeded", "the note to be read", seconds=60)
                assert said(lab, "reads").split() == ["writes", "0", "65530:65530"]
        assert (disk / "export" / "note").read_text() == "writes\n"

    def test_no_address_of_a_node_has_the_port(self, lab: Lab, vms: list[VmNode]) -> None:
        for address in [*(each.address for each in lab.cluster.nodes), *(each.address for each in vms)]:
            for port in (2049, 32049):
                with socket.socket() as client:
                    client.settimeout(5)
                    assert client.connect_ex((address, port)) != 0


@pytest.mark.usefixtures("deployed")
class TestFaults:
    def test_no_acknowledged_line_is_lost_or_doubled(
        self,
        lab: Lab,
        vms: list[VmNode],
        disk: Path,
    ) -> None:
        writers = dict(zip(WRITERS, ((each, APPEND) for each in vms), strict=True))
        with pods(lab, writers):
            for _ in range(KILLS):
                self._more_lines(lab)
                kill(process_in(server(lab)["metadata"]["uid"], "ganesha.nfsd"), signal.SIGKILL)
            self._more_lines(lab)
            before = server(lab)["spec"]["nodeName"]
            lab.kubectl("cordon", before)
            try:
                lab.kubectl("delete", "pod", server(lab)["metadata"]["name"], "--namespace", NAMESPACE)
                self._more_lines(lab)
            finally:
                lab.kubectl("uncordon", before)
            assert server(lab)["spec"]["nodeName"] != before
            promised = {name: acknowledged(lab, name) for name in WRITERS}
        for name, numbers in promised.items():
            stored = Counter((disk / "export" / name).read_text().splitlines())
            assert [number for number in numbers if stored[f"{name} {number}"] != 1] == []

    @staticmethod
    def _more_lines(lab: Lab) -> None:
        before = {name: len(acknowledged(lab, name)) for name in WRITERS}

        def more() -> bool:
            return all(len(acknowledged(lab, name)) > number + 2 for name, number in before.items())

        until(lab, more, "both writers to have more lines acknowledged", seconds=300)

    def test_a_dead_server_gives_an_error_within_a_minute_and_can_be_unmounted(
        self,
        lab: Lab,
        deployed: Program,
        vms: list[VmNode],
    ) -> None:
        wait = "until [ -e /tmp/go ]; do sleep 0.2; done"
        write = "echo x | dd of=/shared/dead conv=fsync; echo ended $?"
        with pods(lab, {"waits": (vms[0], f"touch /shared/waits; {wait}; {write}")}):
            lab.kubectl("scale", "deployment", NFS_SERVER, "--namespace", NAMESPACE, "--replicas=0")
            until(
                lab,
                lambda: not lab.get("pods", "--namespace", NAMESPACE, "--selector", selector(NFS_SERVER)),
                "the server to end",
                seconds=60,
            )
            lab.kubectl("exec", "waits", "--", "touch", "/tmp/go")  # noqa: S108 - in the pod
            until(lab, lambda: "ended 1" in said(lab, "waits"), "an error", seconds=60)
        deployed.up()


class TestNodeProxy:
    def test_a_kernel_that_reaches_no_cluster_ip_is_named_and_the_command_leads_another_way(
        self, lab: Lab, deployed: Program, vms: list[VmNode]
    ) -> None:
        (service,) = lab.get("services", "--namespace", NAMESPACE)
        with programs_only(vms[0], service["spec"]["clusterIP"]):
            lab.kubectl("delete", "configmap", PROBE, "--namespace", NAMESPACE)
            failed = deployed.failing_up()
            assert re.search(rf"^\s*{vms[0].name} .* it does not reach the server", failed, re.MULTILINE)
            assert vms[1].name not in failed.partition("Fix:")[2].partition("\n\n")[0]
            (command,) = {each for each in commands_of(failed) if "sharedVolume" in each}
            file = deployed.folder / f"Pulumi.{deployed.stack.name}.yaml"
            before = file.read_text()
            deployed.paste([command])
            try:
                deployed.up()
                assert deployed.output("sharedVolume")["address"] == "127.0.0.1"
            finally:
                file.write_text(before)
        deployed.up()

    def test_nodes_mount_from_their_loopback_where_ipvs_serves_no_port_there(
        self, lab: Lab, deployed: Program, vms: list[VmNode]
    ) -> None:
        change_proxy_modes(lab, vms, "ipvs")
        with deployed.changed({"sharedVolume.exposure": "nodeProxy"}):
            deployed.up()
            assert deployed.output("sharedVolume")["address"] == "127.0.0.1"
            assert mounts_afresh(lab, deployed) == uids(lab)
            for each in vms:
                with socket.socket() as client:
                    client.settimeout(5)
                    assert client.connect_ex((each.address, 32049)) != 0
        deployed.up()


class TestRegistry:
    def test_nodes_pull_from_their_loopback_where_ipvs_serves_no_port_there(
        self, lab: Lab, deployed: Program, vms: list[VmNode]
    ) -> None:
        """By pods and not by the preflight, whose limit of time an emulated node exceeds."""
        change_proxy_modes(lab, vms, "ipvs")
        image = deployed.output("image")
        for each in vms:
            lab.kubectl("create", "--filename", "-", given=json.dumps(pulling(each, image)))
        try:
            until(
                lab,
                lambda: all("connection refused" in refusals(lab, each) for each in vms),
                "two refusals",
                seconds=300,
            )
            with deployed.changed({"exposure": "nodeProxy"}):
                deployed.up()
                until(lab, lambda: all(phase(lab, each.name) == "Running" for each in vms), "two pulls", seconds=600)
        finally:
            lab.kubectl("delete", "pod", *(each.name for each in vms), "--wait=false")
        deployed.up()


def pulling(node: VmNode, image: str) -> dict[str, Any]:
    """A pod of a VM that pulls an image of the registry."""
    container = {"name": "main", "image": image, "imagePullPolicy": "Always"}
    spec = {"nodeName": node.name, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node.name, "namespace": "default"}, "spec": spec}


def refusals(lab: Lab, node: VmNode) -> str:
    """The events of its pod."""
    return lab.kubectl("events", "--for", f"pod/{node.name}", "--namespace", "default")


class TestExample:
    def test_it_shares_a_file_between_deployments_on_two_nodes(
        self, lab: Lab, program: Program, vms: list[VmNode], installed: Path, tmp_path: Path
    ) -> None:
        program.destroy()
        change_proxy_modes(lab, vms, "iptables")
        offer(lab, DISK)
        folder = tmp_path / "example"
        shutil.copytree(CHECKOUT / "examples" / "shared_volume", folder)
        file = folder / "__main__.py"
        volume = 'storage_class=config.get("storageClass")'
        assert volume in file.read_text()
        file.write_text(file.read_text().replace(volume, f'{volume}, node_selector={{"{LABEL}": "yes"}}'))
        (folder / ".venv").symlink_to(installed)
        example = new_program(lab, tmp_path, folder, PATH=python_of(installed, lab))
        example.configure(kubeContext=lab.cluster.kube_context, storageClass=CLASS)
        try:
            example.up()
            until(lab, lambda: len(said(lab, "deployment/reader").splitlines()) > 2, "the reader to read", seconds=120)
            nodes = {each["spec"]["nodeName"] for each in lab.get("pods", "--namespace", "default")}
            assert nodes == {each.name for each in vms}
        finally:
            example.destroy()
