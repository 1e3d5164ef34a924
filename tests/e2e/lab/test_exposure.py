"""A running stack moves from the node port to the node proxy and back, while its nodes pull: no pull fails.

Each test goes on where the one before ended. What the node proxy does by itself is in test_node_proxy.py.
"""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from kube_registry.fleet.fleet_file import read_fleet
from kube_registry.names import READ_SERVICE, REGISTRY
from lab import cluster, nodes
from lab.cluster import Node
from lab.waiting import wait_for
from tests.conftest import lab_with
from tests.e2e.commands import commands_of
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program
from tests.e2e.lab.test_node_proxy import asked
from tests.e2e.pulls import pulled
from tests.e2e.tunnel.test_tunnel import running

pytestmark = pytest.mark.lab

NAME = "moves"
NODE_PORT = 30100
ENOUGH = 5
"""Pulls of a node that make a load."""


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    with lab_with(pytestconfig, NAME, "iptables", "iptables") as running:
        yield running


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path) -> Iterator[Program]:
    made = new_program(lab, checkout, checkout, stack=NAME)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    made.up()
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def image(program: Program) -> str:
    """The reference that is pulled in all tests."""
    return str(program.output("image"))


@contextmanager
def pulling(lab: Lab, image: str) -> Iterator[None]:
    """Every node pulls an image again and again; at the end each has done so, and no pull has failed."""
    over, said = threading.Event(), {node.name: list[str]() for node in lab.cluster.nodes}

    def pull(node: Node) -> None:
        while not over.is_set() or len(said[node.name]) < ENOUGH:
            said[node.name].append(pull_once(node, image))

    with ThreadPoolExecutor(len(said)) as threads:
        loads = [threads.submit(pull, node) for node in lab.cluster.nodes]
        try:
            yield
        finally:
            over.set()
    for load in loads:
        load.result()
    assert [line for lines in said.values() for line in lines if line] == []


def pull_once(node: Node, image: str) -> str:
    """What a node's container runtime says to a pull of a whole image that it does not have; empty if it has pulled."""
    in_node = ["nsenter", f"--target={node.pid}", "--mount", "--net", "env", "PATH=/run/bin:/usr/bin:/bin"]
    ctr = [*in_node, "ctr", "--address=/run/containerd/containerd.sock", "--namespace=load"]
    fetched, _ = (
        subprocess.run([*ctr, *words], capture_output=True, text=True, timeout=120, check=False)
        for words in (["content", "fetch", "--plain-http", image], ["images", "remove", "--sync", image])
    )
    return fetched.stderr.strip() or "no message" if fetched.returncode else ""


def ports(lab: Lab) -> dict[str, tuple[str, int | None]]:
    """Name -> type and node port of each Service of the registry."""
    specs = {each["metadata"]["name"]: each["spec"] for each in lab.get("services", "--namespace=kube-registry")}
    return {name: (spec["type"], spec["ports"][0].get("nodePort")) for name, spec in specs.items()}


def addresses(lab: Lab) -> dict[str, str]:
    """Name -> uid and cluster IP of each Service of the registry."""
    listed = lab.get("services", "--namespace=kube-registry")
    return {each["metadata"]["name"]: f"{each['metadata']['uid']} {each['spec']['clusterIP']}" for each in listed}


def answers(lab: Lab, host: str) -> list[int | str]:
    """What each node is answered on a host; `*` stands for its own address."""
    return [asked(node, host.replace("*", node.address)) for node in lab.cluster.nodes]


def change_mode(lab: Lab, mode: str) -> None:
    """Restart kube-proxy on one node after the other in another mode; each serves Services again after that."""
    for node in lab.cluster.nodes:
        cluster.change_proxy_mode(NAME, node.name, mode)
    for spec in cluster.known(NAME).nodes:
        log = nodes.machine_of(cluster.known(NAME), spec).log(nodes.PROXY)
        wait_for(partial(nodes.has_service_rules, spec), f"kube-proxy on {spec.name}", log=log, seconds=60)


BY_NODE_PORT = {REGISTRY: ("NodePort", NODE_PORT), READ_SERVICE: ("ClusterIP", None)}
BY_NODE_PROXY = dict.fromkeys((REGISTRY, READ_SERVICE), ("ClusterIP", None))


class TestToTheNodeProxy:
    def test_the_exposure_of_the_stack_is_the_one_that_it_needs(self, program: Program) -> None:
        found = program.registryctl("exposure", "--write")
        assert (found.returncode, found.stderr) == (0, "")
        assert found.stdout.count("served, tested") == 2
        assert found.stdout.endswith("the cluster needs exposure nodePort, the stack has nodePort\n")

    def test_the_preview_replaces_and_deletes_nothing(self, lab: Lab, program: Program) -> None:
        assert ports(lab) == BY_NODE_PORT
        program.configure(exposure="nodeProxy")
        lines: list[str] = []
        changes = program.preview(lines.append)
        assert changes.keys() == {"create", "update", "same"}
        assert changes["update"] == 1, changes
        assert re.search(r"registry-service +update .*spec", "".join(lines))

    def test_no_pull_fails_and_no_node_has_an_open_port(self, lab: Lab, program: Program, image: str) -> None:
        before = addresses(lab)
        with pulling(lab, image):
            program.up()
        assert ports(lab) == BY_NODE_PROXY
        assert addresses(lab) == before
        assert program.output("image") == image
        assert answers(lab, f"localhost:{NODE_PORT}") == [200, 200]
        assert all("refused" in str(each) for each in answers(lab, f"*:{NODE_PORT}"))
        assert program.preview().keys() == {"same"}
        assert program.refresh().keys() == {"same"}

    def test_another_service_can_have_the_node_port(self, lab: Lab) -> None:
        words = ("create", "service", "nodeport", "other", "--tcp=80", f"--node-port={NODE_PORT}", "--dry-run=server")
        assert "service/other created" in lab.kubectl(*words)

    def test_no_pull_fails_while_kube_proxy_changes_to_nftables(self, lab: Lab, image: str) -> None:
        with pulling(lab, image):
            change_mode(lab, "nftables")
        assert answers(lab, f"localhost:{NODE_PORT}") == [200, 200]

    def test_the_nodes_are_tested_while_the_node_proxy_listens(self, lab: Lab, program: Program) -> None:
        found = program.registryctl("exposure")
        assert (found.returncode, found.stderr) == (0, "")
        assert found.stdout.count("nftables    not served, tested") == 2
        assert ports(lab) == BY_NODE_PROXY, "the Service of the test is gone"

    def test_a_fleet_begins_with_the_exposure_that_its_clusters_need(
        self, lab: Lab, program: Program, tmp_path: Path
    ) -> None:
        shutil.copy(CHECKOUT / "Pulumi.yaml", tmp_path)
        command = [sys.executable, "-m", "registryctl", "fleet", "init"]
        env = {**lab.env, "PYTHONPATH": str(program.folder)}
        subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=60)
        (member,) = read_fleet(tmp_path).members
        assert (member.settings.kube_context, member.settings.exposure) == (lab.cluster.kube_context, "nodeProxy")

    def test_before_the_first_update_kube_proxy_is_asked(self, lab: Lab, program: Program) -> None:
        first = new_program(lab, program.folder, program.folder, stack="first")
        first.configure(kubeContext=lab.cluster.kube_context, namespace="elsewhere", images_app_context="./app")
        found = first.registryctl("exposure")
        assert found.returncode == 1
        assert found.stdout.count("nftables    not served, by its configuration") == 2
        assert "no registry runs in namespace elsewhere" in found.stdout
        first.paste(commands_of(found.stdout))
        assert first.registryctl("exposure").returncode == 0

    def test_a_node_proxy_that_nodes_need_is_not_deleted(self, lab: Lab, program: Program, image: str) -> None:
        program.configure(exposure="nodePort")
        with pulling(lab, image):
            said = program.failing_up()
        assert "2 of 2 nodes in namespace kube-registry" in said
        assert "so the node proxy was not deleted" in said
        program.paste(commands_of(said, "exposure"))
        with pulling(lab, image):
            program.up()
        assert ports(lab) == BY_NODE_PROXY


class TestToTheNodePort:
    def test_no_pull_fails_while_kube_proxy_changes_to_iptables(self, lab: Lab, image: str) -> None:
        with pulling(lab, image):
            change_mode(lab, "iptables")

    def test_no_pull_fails_and_the_node_proxy_goes(self, lab: Lab, program: Program, image: str) -> None:
        before, file = addresses(lab), program.folder / f"Pulumi.{NAME}.yaml"
        file.write_text(f"# of this test\n{file.read_text()}")
        found = program.registryctl("exposure", "--write")
        assert (found.returncode, found.stderr) == (0, "")
        assert f"wrote exposure nodePort into {file.name}" in found.stdout
        assert "# of this test" in file.read_text()
        with pulling(lab, image):
            program.paste(commands_of(found.stdout))
        assert ports(lab) == BY_NODE_PORT
        assert addresses(lab) == before
        assert "kube-registry-proxy" not in {each["metadata"]["name"] for each in lab.get("namespaces")}
        assert answers(lab, f"localhost:{NODE_PORT}") == answers(lab, f"*:{NODE_PORT}") == [200, 200]
        assert program.preview().keys() == {"same"}


class TestPort:
    def test_it_may_be_out_of_the_node_port_range(self, lab: Lab, program: Program) -> None:
        program.configure(exposure="nodeProxy", nodePort="8085")
        program.up()
        image = program.output("image")
        assert image.startswith("localhost:8085/app:")
        digest = image.rpartition("@")[2]
        assert pulled(lab, image) == {node.name: digest for node in lab.cluster.nodes}

    def test_a_tunnel_finds_it_without_a_stack(self, lab: Lab, program: Program) -> None:
        env = {**lab.env, **program.stack.workspace.env_vars}
        with running(program, env, "tunnel", "--kube-context", lab.cluster.kube_context) as opened:
            assert opened.pull_host == "localhost:8085"
            opened.end()

    def test_one_that_a_program_on_the_node_has_is_named(self, lab: Lab, program: Program) -> None:
        program.configure(nodePort="10250")
        said = program.failing_up()
        assert "no node proxy listens on" in said
        assert "10250" in said
        program.paste(line.replace("NUMBER", "8085") for line in commands_of(said, "nodePort"))
        program.up()
        assert answers(lab, "localhost:8085") == [200, 200]
