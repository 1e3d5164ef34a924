"""One cluster whose nodes differ in what kube-proxy answers on their loopback; first without node proxy, then with."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kube_registry.housekeeping.node_checks import Finding, exposed
from kube_registry.kube.client import open_client
from kube_registry.names import NODE_PROXY
from kube_registry.registry.errors import NotReadyError
from kube_registry.registry.readiness import wait_node_proxy_ready
from kube_registry.spec.settings import Settings
from lab import cluster
from lab.cluster import Node
from tests.conftest import lab_with
from tests.e2e.commands import commands_of
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program, settings_of
from tests.e2e.pulls import pulled

pytestmark = pytest.mark.lab

NAME = "mixed"
PROXY_NAMESPACE = "kube-registry-proxy"
NODE_PORT = 30100
V4, V6 = f"127.0.0.1:{NODE_PORT}", f"[::1]:{NODE_PORT}"
RESET = str(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

RIGHTS = CHECKOUT / "docs" / "rbac" / "node-proxy.yaml"
GROUP = "kube-registry-deployers"


_ASK_ON = """
import http.client, select, sys
while not select.select([sys.stdin], [], [], 0.05)[0]:
    asked = http.client.HTTPConnection(sys.argv[1], timeout=5)
    try:
        asked.request("GET", "/v2/")
        print(asked.getresponse().status, flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(error, flush=True)
    asked.close()
"""

_ASK = """
import http.client, sys
host, method, path = sys.argv[1:]
asked = http.client.HTTPConnection(host, timeout=5)
asked.request(method, path)
print(asked.getresponse().status)
"""


@pytest.fixture(scope="module")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    with lab_with(pytestconfig, NAME, "iptables", "nftables") as running:
        yield running


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path) -> Iterator[Program]:
    made = new_program(lab, checkout, checkout, stack=NAME)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    made.configure(kubeconfig=str(shutil.copy(lab.cluster.kubeconfig, made.folder / "kubeconfig.json")))
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def refused(program: Program) -> str:
    """What an update without node proxy prints."""
    return program.failing_up()


@pytest.fixture(scope="module")
def proxied(lab: Lab, program: Program, refused: str) -> Program:
    """The same stack once it has done what it was told, in the hands of one who has not every right."""
    program.paste(commands_of(refused, "nodeProxy"))
    grant(lab)
    shutil.copy(cluster.kubeconfig_for(NAME, "deployer", [GROUP]), program.folder / "kubeconfig.json")
    program.up()
    return program


def grant(lab: Lab) -> None:
    """What docs/rbac/ grants in the node proxy's namespace, and all rights in the registry's."""
    lab.kubectl("apply", "--filename", str(RIGHTS))
    bound = ("elsewhere", f"--group={GROUP}")
    lab.kubectl("create", "rolebinding", *bound, "--clusterrole=cluster-admin", "--namespace=kube-registry")
    lab.kubectl("create", "clusterrole", "elsewhere", "--verb=get,list,watch", "--resource=namespaces,nodes")
    lab.kubectl("create", "clusterrolebinding", *bound, "--clusterrole=elsewhere")


def asked(node: Node, host: str, path: str = "/v2/", method: str = "GET") -> int | str:
    """The status that somebody on a node is answered, or the last word about why there is none."""
    command = ["nsenter", f"--net={node.netns}", sys.executable, "-c", _ASK, host, method, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return int(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def listeners(node: Node) -> set[str]:
    """Addresses that somebody listens on with the node port's number, as the kernel of that node lists them."""
    command = ["nsenter", f"--net={node.netns}", "ss", "-Hltn", f"sport = :{NODE_PORT}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return {line.split()[3] for line in done.stdout.splitlines()}


def proxy_pods(lab: Lab) -> list[dict[str, Any]]:
    return lab.get("pods", "--namespace", PROXY_NAMESPACE)


@contextmanager
def asked_throughout(node: Node, host: str) -> Iterator[list[str]]:
    """Ask on a node, 20 times a second, while the block runs; the list has each status or error after its end."""
    answers: list[str] = []
    command = ["nsenter", f"--net={node.netns}", sys.executable, "-c", _ASK_ON, host]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        answers.append(asking.stdout.readline().strip())
        try:
            yield answers
        finally:
            answers += asking.communicate(timeout=20)[0].splitlines()
    assert asking.returncode == 0


class TestWithout:
    def test_the_update_stops_before_anything_is_built_and_says_which_node_and_what_mends_it(
        self, lab: Lab, program: Program, refused: str
    ) -> None:
        by_iptables, by_nftables = lab.cluster.nodes
        (row,) = (line.split() for line in refused.splitlines() if line.strip().startswith(by_nftables.name))
        assert row[1].startswith("containerd://")
        assert row[2:7] == ["nftables", "connection", "refused", "on", "loopback:"]
        assert f"{by_iptables.name} " not in refused
        assert "1 of 2 nodes cannot pull" in refused
        assert f"Fix: `pulumi config --stack {NAME} set exposure nodeProxy`" in refused
        assert "docker:index/image:Image" not in {resource["type"] for resource in program.state()["resources"]}

    @pytest.mark.usefixtures("refused")
    def test_only_iptables_answers_on_loopback_and_nobody_on_the_other_one(self, lab: Lab) -> None:
        by_iptables, by_nftables = lab.cluster.nodes
        assert asked(by_iptables, V4) == 200
        for node, host in ((by_nftables, V4), (by_iptables, V6), (by_nftables, V6)):
            assert "refused" in str(asked(node, host))


class TestWith:
    def test_the_same_reference_is_pulled_on_both_nodes(self, lab: Lab, proxied: Program) -> None:
        image = proxied.output("image")
        digest = image.rpartition("@")[2]
        assert pulled(lab, image) == {node.name: digest for node in lab.cluster.nodes}

    def test_preview_shows_no_change(self, proxied: Program) -> None:
        assert set(proxied.preview()) == {"same"}

    @pytest.mark.usefixtures("proxied")
    def test_every_node_answers_on_both_loopbacks(self, lab: Lab) -> None:
        assert {asked(node, host) for node in lab.cluster.nodes for host in (V4, V6)} == {200}

    @pytest.mark.usefixtures("proxied")
    def test_it_listens_on_loopback_only(self, lab: Lab) -> None:
        for node in lab.cluster.nodes:
            assert listeners(node) == {V4, V6}

    @pytest.mark.usefixtures("proxied")
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/v2/app/blobs/uploads/"),
            ("PUT", "/v2/app/manifests/latest"),
            ("DELETE", f"/v2/app/manifests/sha256:{'0' * 64}"),
        ],
    )
    def test_no_write_gets_through(self, lab: Lab, method: str, path: str) -> None:
        assert {asked(node, host, path, method) for node in lab.cluster.nodes for host in (V4, V6)} == {405}

    @pytest.mark.usefixtures("proxied")
    def test_it_can_do_nothing_else(self, lab: Lab) -> None:
        for pod in proxy_pods(lab):
            (container,) = pod["spec"]["containers"]
            assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume or "hostPath" in volume]
            status = lab.kubectl("exec", "-n", PROXY_NAMESPACE, pod["metadata"]["name"], "--", "cat", "/proc/1/status")
            facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert "0" not in facts["Uid"].split()
            assert facts["CapEff"] == facts["CapBnd"] == "0" * 16
            assert facts["NoNewPrivs"] == "1"
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.usefixtures("proxied")
class TestThrough:
    def test_a_restart_of_kube_proxy(self, lab: Lab) -> None:
        for node in lab.cluster.nodes:
            with asked_throughout(node, V6) as answers:
                cluster.restart(NAME, node.name, "kube-proxy")
            assert set(answers) == {"200"}
            assert asked(node, V4) == 200

    def test_an_update_of_the_proxy_without_a_moment_of_refusal(self, lab: Lab) -> None:
        before = {pod["metadata"]["uid"] for pod in proxy_pods(lab)}
        with asked_throughout(lab.cluster.nodes[1], V4) as answers:
            lab.kubectl("rollout", "restart", "-n", PROXY_NAMESPACE, f"daemonset/{NODE_PROXY}")
            lab.kubectl("rollout", "status", "-n", PROXY_NAMESPACE, f"daemonset/{NODE_PROXY}", "--timeout=25s")
        # The kernel resets what the old process has not accepted when it closes its socket (ADR 0010).
        assert set(answers) <= {"200", RESET}
        assert answers.count(RESET) <= 1
        assert not before & {pod["metadata"]["uid"] for pod in proxy_pods(lab) if is_staying(pod)}

    def test_the_end_of_its_pod_and_its_process(self, lab: Lab) -> None:
        node = lab.cluster.nodes[1]
        (pod,) = (each for each in proxy_pods(lab) if each["spec"]["nodeName"] == node.name and is_staying(each))
        lab.kubectl("exec", "-n", PROXY_NAMESPACE, pod["metadata"]["name"], "--", "sh", "-c", "kill -TERM 1")
        lab.kubectl("delete", "pod", "-n", PROXY_NAMESPACE, pod["metadata"]["name"], "--force", "--grace-period=0")
        lab.kubectl("rollout", "status", "-n", PROXY_NAMESPACE, f"daemonset/{NODE_PROXY}", "--timeout=25s")
        assert asked(node, V4) == asked(node, V6) == 200


@pytest.mark.usefixtures("proxied")
class TestTrouble:
    def test_a_proxy_that_does_not_start_is_told_in_words(self, lab: Lab) -> None:
        async def wait() -> None:
            async with open_client(settings_of(lab)) as kube:
                await wait_node_proxy_ready(kube, PROXY_NAMESPACE, seconds=30)

        image = f"{NODE_PROXY}=docker.io/library/no-such-proxy:1"
        lab.kubectl("set", "image", "-n", PROXY_NAMESPACE, f"daemonset/{NODE_PROXY}", image)
        with pytest.raises(NotReadyError) as told:
            asyncio.run(wait())
        assert str(told.value).startswith(f"the node proxy in namespace {PROXY_NAMESPACE} of kube context")
        assert told.value.reason.startswith(
            f"no node proxy listens on {lab.cluster.nodes[0].name}, {lab.cluster.nodes[1].name}:"
        )
        assert f"container {NODE_PROXY} of pod" in told.value.reason
        assert "no-such-proxy" in told.value.reason

    def test_the_command_of_the_doctors_line_makes_it_listen_again(self, lab: Lab, proxied: Program) -> None:
        async def look() -> list[Finding]:
            config = {"kubeContext": lab.cluster.kube_context, "exposure": "nodeProxy", "images": {"app": {}}}
            config["kubeconfig"] = str(lab.cluster.kubeconfig)
            settings = Settings.parse(config, project="kube-registry", stack=NAME)
            async with open_client(settings) as kube:
                return await exposed(kube, settings)

        lab.kubectl("delete", "daemonset", NODE_PROXY, "--namespace", PROXY_NAMESPACE)
        (line,) = asyncio.run(look())
        assert (line.subject, line.well) == ("node proxy", False)
        proxied.paste(commands_of(line.words))
        (line,) = asyncio.run(look())
        assert (line.subject, line.well) == ("read door", True)


def is_staying(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"]
