"""The NFS server without a kernel that mounts it: on a block device that moves from node to node, and on a directory.

The nodes of the lab have no NFS client, so the selector of the volume's nodes matches none of them.
"""

import fcntl
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kube_registry.kube.pods import is_ready
from kube_registry.names import NFS_SERVER, selector
from kube_registry.shared_volume.mount_pod import mount_pod
from lab.cluster import Node, known
from lab.waiting import wait_for
from tests.bench.forwarders import process_in
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, new_program
from tests.e2e.shared_volume.own_disk import CLASS, inside, offer, run
from tests.nfs_client import ACCESS, NfsClient, NfsError, Opened

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NAMESPACE = "kube-registry-shared"
PODS = ("--namespace", NAMESPACE, "--selector", selector(NFS_SERVER))
FOLDER = "/tmp/hostpath_pv/block"  # noqa: S108 - on the nodes
USER = 65530
NO_NODE = {"sharedVolume.nodeSelector.nfs-client": "yes"}
SHUTDOWN, WITHOUT_LOG = 0x8004587D, b"\2\0\0\0"
"""The request that makes ext4 behave as if its device had failed (EXT4_IOC_SHUTDOWN), and how."""


@dataclass
class Disk:
    """A block device that is attached to one node at a time, each time under another number."""

    image: Path
    other: Path
    devices: list[str] = field(default_factory=list)
    node: Node | None = None

    def attach(self, node: Node) -> None:
        self.devices.append(run("losetup", "--find", "--show", str(self.image)).strip())
        run(*inside(node.pid), "mkdir", "-p", FOLDER)
        run(*inside(node.pid), "mount", self.devices[-1], FOLDER)
        self.node = node

    def detach(self) -> None:
        """The number is kept in use, so that the next one differs."""
        if self.node:
            run(*inside(self.node.pid), "umount", FOLDER)
            run("losetup", "--detach", self.devices[-1])
            run("losetup", self.devices[-1], str(self.other))
            self.node = None

    def fail(self) -> None:
        assert self.node
        folder = os.open(f"/proc/{self.node.pid}/root{FOLDER}", os.O_RDONLY)
        fcntl.ioctl(folder, SHUTDOWN, WITHOUT_LOG)
        os.close(folder)


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path, debian: None) -> Iterator[Program]:  # noqa: ARG001 - the image is there
    made = new_program(lab, checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    yield made
    made.destroy()


def servers(lab: Lab) -> list[dict[str, Any]]:
    return [pod for pod in lab.get("pods", *PODS) if "deletionTimestamp" not in pod["metadata"]]


def ready_server(lab: Lab) -> dict[str, Any]:
    """The pod, once it is ready."""
    wait_for(
        lambda: len(servers(lab)) == 1 and is_ready(servers(lab)[0]),
        "the NFS server",
        log=known(lab.cluster.name).folder / "logs",
        seconds=90,
    )
    (pod,) = servers(lab)
    return pod


def folder_of(pod: dict[str, Any]) -> str:
    """The name of the folder that nodes mount."""
    (name,) = (each["value"] for each in pod["spec"]["containers"][0]["env"] if each["name"] == "EXPORT_NAME")
    return str(name)


def client(lab: Lab, uid: int = 0) -> NfsClient:
    """A client that the server knows again, because it keeps its name and address."""
    return NfsClient(ready_server(lab)["status"]["podIP"], uid=uid, name="test")


@pytest.fixture
def on_directory(program: Program) -> Iterator[Program]:
    """The program with a volume in another namespace, which is removed, because a volume keeps its namespace."""
    with program.changed({**NO_NODE, "sharedVolume.namespace": "directory"}):
        yield program
        program.destroy()


class TestDirectory:
    """A volume that is a directory of the node's file system, as the default class of the lab makes it."""

    def test_the_server_does_not_start_and_says_why_and_the_command_accepts_it(
        self, lab: Lab, on_directory: Program
    ) -> None:
        said = on_directory.failing_up()
        assert re.search(r"its volume is the directory /\S+ of a file system, which clients could then reach", said)
        on_directory.paste(commands_of(said, "allowDirectory"))
        on_directory.up()
        (pod,) = lab.get("pods", "--namespace", "directory", "--selector", selector(NFS_SERVER))
        with NfsClient(pod["status"]["podIP"]) as nfs:
            export = nfs.look_up(folder_of(pod))
            nfs.create(nfs.make_folder(export, "folder"), "file")
            assert nfs.attributes(export).owner == str(USER)
        on_directory.configure(sharedVolume_user=str(USER + 1))
        on_directory.up()
        (pod,) = lab.get("pods", "--namespace", "directory", "--selector", selector(NFS_SERVER))
        with NfsClient(pod["status"]["podIP"]) as nfs:
            export = nfs.look_up(folder_of(pod))
            folder = nfs.look_up("folder", start=export)
            files = (export, folder, nfs.look_up("file", start=folder))
            assert {nfs.attributes(each).owner for each in files} == {str(USER + 1)}


@pytest.fixture(scope="module")
def disk(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    folder = tmp_path_factory.mktemp("disk")
    made = Disk(folder / "disk.img", folder / "other.img")
    for image in (made.image, made.other):
        run("truncate", "--size=256M", str(image))
    run("mkfs.ext4", "-q", str(made.image))
    made.attach(lab.cluster.nodes[0])
    lab.kubectl("cordon", lab.cluster.nodes[1].name)
    yield made
    lab.kubectl("uncordon", *(node.name for node in lab.cluster.nodes))
    if made.node:
        run(*inside(made.node.pid), "umount", "--lazy", FOLDER)
    for device in made.devices:
        run("losetup", "--detach", device)


@pytest.fixture(scope="module")
def deployed(lab: Lab, program: Program, disk: Disk) -> Iterator[Program]:  # noqa: ARG001 - it is attached
    offer(lab, Path(FOLDER).name)
    with program.changed({**NO_NODE, "sharedVolume.storageClass": CLASS, "sharedVolume.size": "1Gi"}):
        program.up()
        yield program
        program.destroy()
    lab.kubectl("delete", "persistentvolume", Path(FOLDER).name, "--wait=false")


@pytest.fixture(scope="module")
def kept(lab: Lab, deployed: Program) -> Opened:  # noqa: ARG001 - it runs
    """A file that a client has open and locked."""
    with client(lab) as nfs:
        file = nfs.create(nfs.look_up(folder_of(ready_server(lab))), "kept")
        nfs.write(file.handle, b"content", stateid=file.stateid)
        return nfs.lock(file)


def still_there(lab: Lab, kept: Opened) -> None:
    """The handle is valid, and the client gets its lock back."""
    with client(lab) as nfs:
        assert nfs.look_up(folder_of(ready_server(lab)), "kept") == kept.handle
        assert nfs.read(kept.handle) == b"content"
        nfs.lock(nfs.reclaim(kept.handle), reclaim=True)


def doctor(program: Program) -> tuple[str, str]:
    """The mark and the words of the volume's line."""
    found = re.search(rf"^(\S+) +shared volume {NAMESPACE} +(.*)$", program.registryctl("doctor").stdout, re.MULTILINE)
    assert found
    return found[1], found[2].strip()


@pytest.mark.usefixtures("deployed")
class TestServer:
    def test_every_client_is_one_user_and_none_is_root(self, lab: Lab) -> None:
        for uid in (0, USER, 4711):
            with client(lab, uid) as nfs:
                export = nfs.look_up(folder_of(ready_server(lab)))
                folder = nfs.make_folder(export, f"of-{uid}")
                nfs.change_owner(folder, "0")  # has no effect
                assert nfs.attributes(export).mode == 0o770
                assert {nfs.attributes(each).owner for each in (export, folder)} == {str(USER)}

    def test_doctor_counts_the_nodes_that_have_mounted_it(self, deployed: Program) -> None:
        assert doctor(deployed) == ("?", "its NFS server is ready; 0 nodes mounted it in a test")

    def test_it_can_do_nothing_else(self, lab: Lab) -> None:
        pod = ready_server(lab)
        pid = process_in(pod["metadata"]["uid"], "ganesha.nfsd")
        facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        names = {0: "CHOWN", 1: "DAC_OVERRIDE", 2: "DAC_READ_SEARCH", 3: "FOWNER", 6: "SETGID", 7: "SETUID"}
        assert int(facts["CapBnd"], 16) == sum(1 << number for number in names)
        assert (facts["NoNewPrivs"], facts["Seccomp"].strip()) == ("1", "2")

    def test_what_is_not_exported_is_out_of_reach(self, lab: Lab) -> None:
        """A handle has the numbers of the export, the file system and the file. The root is on another file system."""
        with client(lab) as nfs:
            root = nfs.look_up(folder_of(ready_server(lab)))[:-8] + b"\2\0\0\0\0\0\0\0"
            for folder in (nfs.look_up("recovery", start=root), nfs.look_up("lost+found", start=root), nfs.look_up()):
                with pytest.raises(NfsError) as told:
                    nfs.names(folder)
                assert told.value.status == ACCESS
            assert nfs.look_up()[5:14] != root[5:14]


class TestHandles:
    """Clients go on with the handles, files and locks that they have."""

    def test_after_the_end_of_its_process(self, lab: Lab, kept: Opened) -> None:
        uid = ready_server(lab)["metadata"]["uid"]
        before = process_in(uid, "ganesha.nfsd")
        os.kill(before, signal.SIGKILL)

        def restarted() -> bool:
            (pod,) = servers(lab)
            return is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1

        wait_for(restarted, "another process", log=known(lab.cluster.name).folder / "logs", seconds=60)
        still_there(lab, kept)

    def test_after_the_end_of_its_pod(self, lab: Lab, kept: Opened) -> None:
        before = ready_server(lab)["status"]["podIP"]
        lab.kubectl("delete", "pods", *PODS)
        assert ready_server(lab)["status"]["podIP"] != before
        still_there(lab, kept)

    def test_on_another_node_where_the_device_has_another_number(self, lab: Lab, disk: Disk, kept: Opened) -> None:
        first, second = lab.cluster.nodes
        lab.kubectl("cordon", first.name)
        lab.kubectl("uncordon", second.name)
        lab.kubectl("scale", "deployment", NFS_SERVER, "--namespace", NAMESPACE, "--replicas=0")
        wait_for(lambda: not lab.get("pods", *PODS), "no server", log=Path("/dev/null"), seconds=60)
        disk.detach()
        disk.attach(second)
        assert len(set(disk.devices)) == 2
        lab.kubectl("scale", "deployment", NFS_SERVER, "--namespace", NAMESPACE, "--replicas=1")
        assert ready_server(lab)["spec"]["nodeName"] == second.name
        still_there(lab, kept)


@pytest.fixture(scope="class")
def claimed(lab: Lab, deployed: Program) -> Iterator[Program]:
    with deployed.changed({"sharedVolume.claims.default": "1Gi"}):
        deployed.up()
        yield deployed
        lab.kubectl("delete", "deployment", "user", "--ignore-not-found")
    deployed.up()


class TestClaims:
    """Claims of pods on nodes that cannot mount them: Kubernetes treats them alike."""

    def test_one_that_a_pod_uses_is_not_replaced(self, lab: Lab, claimed: Program) -> None:
        lab.kubectl("create", "--filename", "-", given=json.dumps(user(lab.cluster.nodes[1].name)))
        logs = known(lab.cluster.name).folder / "logs"
        wait_for(lambda: bool(lab.get("pods", "--selector", "app=user")), "a pod", log=logs, seconds=60)
        before = claim(lab)
        with claimed.changed({"sharedVolume.mount": "hard"}):
            said = claimed.failing_up()
            assert "its claim shared-volume in namespace default, which is mounted by user-" in said
            assert claim(lab) == before
            (end,) = commands_of(said, "scale")
            claimed.paste([end.replace("NAME", "user")])
            left = mount_pod("docker.io/library/busybox:stable", "probe", lab.cluster.nodes[1].name, "interrupted")
            lab.kubectl("create", "--namespace", NAMESPACE, "--filename", "-", given=json.dumps(left))
            claimed.up()
            assert claim(lab)["uid"] != before["uid"]
        claimed.up()

    def test_one_that_was_deleted_is_bound_again(self, lab: Lab, claimed: Program) -> None:
        before = claim(lab)["uid"]
        lab.kubectl("delete", "persistentvolumeclaim", "shared-volume")
        claimed.up()
        (bound,) = lab.get("persistentvolumeclaims", "--namespace", "default")
        assert (bound["status"]["phase"], bound["metadata"]["uid"] != before) == ("Bound", True)


def user(node: str) -> dict[str, Any]:
    """A Deployment with a pod that uses the claim."""
    container = {"name": "main", "image": "docker.io/library/busybox:stable", "command": ["sleep", "60"]}
    volume = {"name": "shared", "persistentVolumeClaim": {"claimName": "shared-volume"}}
    pod = {
        "nodeName": node,
        "terminationGracePeriodSeconds": 0,
        "containers": [{**container, "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "volumes": [volume],
    }
    labels = {"app": "user"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "user", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def claim(lab: Lab) -> dict[str, Any]:
    """What identifies the claim and says whether it is being deleted."""
    (found,) = lab.get("persistentvolumeclaims", "--namespace", "default")
    return {key: found["metadata"].get(key) for key in ("uid", "deletionTimestamp")}


def test_a_server_whose_device_fails_is_not_ready_until_it_is_back(
    lab: Lab, deployed: Program, disk: Disk, kept: Opened
) -> None:
    ready_server(lab)
    disk.fail()

    def unready() -> bool:
        return not any(map(is_ready, servers(lab)))

    wait_for(unready, "a failed probe", log=Path("/dev/null"), seconds=60)
    assert doctor(deployed)[0] == "fix"
    node = disk.node
    assert node
    lab.kubectl("scale", "deployment", NFS_SERVER, "--namespace", NAMESPACE, "--replicas=0")
    wait_for(lambda: not lab.get("pods", *PODS), "no server", log=Path("/dev/null"), seconds=60)
    disk.detach()
    disk.attach(node)
    lab.kubectl("scale", "deployment", NFS_SERVER, "--namespace", NAMESPACE, "--replicas=1")
    with client(lab) as nfs:
        assert nfs.read(kept.handle) == b"content"
