"""One real cluster of two nodes, one with each mode of kube-proxy: what it can do, and what it survives."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab import cluster, images, processes, spec
from lab.cluster import Cluster, Node
from lab.errors import LabError
from lab.toolchain import tool
from lab.waiting import wait_for

NAME = "labtest"
MODES = ("iptables", "nftables")
NODE_PORT = 30777
FOLDER = spec.folder_of(NAME)
LOGS = FOLDER / "logs"
OTHERS_SECONDS = 200.0
"""How long the clusters of other tests, whose starts hold the lab's lock, may keep one from starting."""

pytestmark = pytest.mark.lab


def kubectl(*arguments: str, given: object = None, kubeconfig: Path = FOLDER / "kubeconfig.json") -> str:
    done = subprocess.run(
        [tool("kubectl"), f"--kubeconfig={kubeconfig}", *arguments],
        input=json.dumps(given) if given else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answer(node: Node, url: str) -> str | None:
    """What a URL answers to somebody on that node; None if it does not."""
    command = ["nsenter", f"--net={node.netns}", "timeout", "3", "busybox", "wget", "-q", "-O", "-", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout if done.returncode == 0 else None


def records() -> dict[Path, processes.Process]:
    found = {file: processes.recorded(file) for file in (FOLDER / "processes").iterdir()}
    return {file: process for file, process in found.items() if process}


def down_and_nothing_is_left() -> None:
    """What runs in a pod is in a group of the node, so that no group means no pod."""
    running = [process for process in records().values() if process.alive]
    wanted = spec.saved(NAME)
    groups = list(Path("/sys/fs/cgroup").glob(f"*/*/{NAME}"))
    assert running
    assert wanted
    cluster.down(NAME)
    assert not [process for process in running if process.alive]
    assert not processes._marked(NAME)
    assert not [group for group in groups if group.exists()]
    assert str(FOLDER) not in Path("/proc/mounts").read_text()
    assert not (Path("/sys/class/net") / wanted.host_interface).exists()
    assert not FOLDER.exists()
    assert NAME not in spec.names()


def reached() -> bool:
    """Whether they do, which kube-proxy needs a moment for after a Service or a node came."""
    with suppress(AssertionError):
        return every_pod_reaches_every_pod_and_the_service()
    return False


def every_pod_reaches_every_pod_and_the_service() -> bool:
    listed = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    service = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    addresses = [*(pod["status"]["podIP"] for pod in listed), service]
    asked = " && ".join(f"timeout 3 wget -q -O - http://{address}:8080/" for address in addresses)
    answers = [kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", asked).split() for pod in listed]
    return answers == [[*(pod["metadata"]["name"] for pod in listed), got[-1]] for got in answers]


def kernel_settings() -> list[str]:
    """Those that a kubelet sets where it finds them different."""
    names = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys")
    return [(Path("/proc/sys") / name).read_text() for name in names]


@pytest.fixture(scope="module")
def settings_before() -> list[str]:
    return kernel_settings()


@pytest.fixture(scope="module")
def found(settings_before: list[str]) -> Iterator[Cluster]:
    assert settings_before
    cluster.down(NAME)
    try:
        yield cluster.up(NAME, proxy_modes=MODES)
    finally:
        cluster.down(NAME)


@pytest.fixture(scope="module")
def web(found: Cluster) -> None:
    """A web server on each node, with a volume between them, behind a service."""
    index = "mkdir /www && echo $HOSTNAME >/www/index.html"
    serve = f"echo serving; echo $HOSTNAME >/data/$HOSTNAME; {index}; exec httpd -f -p 8080 -h /www"
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 8080, "nodePort": NODE_PORT}]},
    }
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"web-{node.name}", "labels": {"app": "web"}},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node.name},
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "main",
                        "image": images.BUSYBOX,
                        "command": ["sh", "-c", serve],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        }
        for node in found.nodes
    ]
    kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": [claim, service, *pods]})
    kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=30s")


def test_the_nodes_are_ready_and_each_has_its_mode(found: Cluster) -> None:
    listed = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    ready = {
        node["metadata"]["name"]
        for node in listed
        for condition in node["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    assert ready == {node.name for node in found.nodes}
    assert tuple(node.proxy_mode for node in found.nodes) == MODES
    assert found in cluster.clusters()


@pytest.mark.usefixtures("found")
def test_the_computers_own_kernel_settings_stay(settings_before: list[str]) -> None:
    assert kernel_settings() == settings_before


def test_up_again_changes_nothing(found: Cluster) -> None:
    before = records()
    assert cluster.up(NAME, proxy_modes=MODES) == found
    assert records() == before


def test_up_with_other_nodes_is_refused_in_one_sentence(found: Cluster) -> None:
    with pytest.raises(LabError, match=r"with proxy modes iptables nftables, not with proxy modes iptables\. Fix: "):
        cluster.up(found.name, nodes=1)


@pytest.mark.usefixtures("web")
def test_pods_reach_each_other_and_a_service() -> None:
    wait_for(reached, "the Service on every node", log=LOGS, seconds=30)


@pytest.mark.usefixtures("web")
def test_the_node_port_answers_on_loopback_with_iptables_only(found: Cluster) -> None:
    by_iptables, by_nftables = found.nodes
    for node in found.nodes:
        assert answer(node, f"http://{node.address}:{NODE_PORT}/")
    assert answer(by_iptables, f"http://127.0.0.1:{NODE_PORT}/")
    assert answer(by_nftables, f"http://127.0.0.1:{NODE_PORT}/") is None


@pytest.mark.usefixtures("web")
def test_a_claim_is_bound_and_what_is_written_is_on_this_computer(found: Cluster) -> None:
    assert kubectl("get", "pvc", "data", "-o", "jsonpath={.status.phase}") == "Bound"
    written = {file.name for file in (FOLDER / "volumes").rglob("web-*")}
    assert written == {f"web-{node.name}" for node in found.nodes}


@pytest.mark.usefixtures("web")
def test_logs_and_port_forward_work(found: Cluster) -> None:
    pod = f"web-{found.nodes[0].name}"
    assert kubectl("logs", pod) == "serving\n"
    command = [str(tool("kubectl")), f"--kubeconfig={found.kubeconfig}", "port-forward", pod, ":8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout
            port = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
            assert port
            wget = ["busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{port[1]}/"]
            assert subprocess.run(wget, capture_output=True, text=True, timeout=10, check=True).stdout == f"{pod}\n"
        finally:
            forward.terminate()


def test_a_user_may_do_what_rbac_says_and_no_more(found: Cluster) -> None:
    kubeconfig = cluster.kubeconfig_for(NAME, "reviewer", ["readers"])
    kubectl("create", "clusterrolebinding", "readers", "--clusterrole=view", "--group=readers")
    can = kubectl("auth", "can-i", "--list", "-n", "default", kubeconfig=kubeconfig)
    assert re.search(r"^pods\s.*\[get list watch\]", can, re.MULTILINE)
    assert found.kube_context in kubeconfig.read_text()


@pytest.mark.usefixtures("web")
def test_one_process_can_be_restarted_alone(found: Cluster) -> None:
    node, before = found.nodes[0], records()
    cluster.restart(NAME, node.name, "kube-proxy")
    after = records()
    assert {file.name for file in before if before[file] != after[file]} == {f"{node.name}.kube-proxy.json"}
    cluster.up(NAME, proxy_modes=MODES)
    assert answer(node, f"http://127.0.0.1:{NODE_PORT}/")


@pytest.mark.usefixtures("web")
def test_it_comes_back_after_everything_was_killed_at_once_and_the_computer_restarted(found: Cluster) -> None:
    """Also when the numbers of its processes belong to somebody else by now."""
    for process in records().values():
        with suppress(ProcessLookupError):  # it went with its machine's init
            os.kill(process.pid, signal.SIGKILL)
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            for file, process in records().items():
                file.write_text(json.dumps(asdict(replace(process, pid=bystander.pid, boot="an earlier one"))))
            back = cluster.up(NAME, proxy_modes=MODES)
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert [node.name for node in back.nodes] == [node.name for node in found.nodes]
    assert "web" in kubectl("get", "service", "web")
    wait_for(pods_run_again, "the pods to run again", log=LOGS, seconds=30)
    wait_for(reached, "the Service on every node", log=LOGS, seconds=30)


def pods_run_again() -> bool:
    listed = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return all(
        status.get("restartCount") and "running" in status["state"]
        for pod in listed
        for status in pod["status"]["containerStatuses"]
    )


@pytest.mark.usefixtures("web")
def test_down_leaves_nothing() -> None:
    down_and_nothing_is_left()


def test_down_leaves_nothing_of_an_up_that_was_killed_half_way() -> None:
    command = [sys.executable, "-m", "lab", "up", NAME, "--proxy-mode", ",".join(MODES)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as half:
        record = FOLDER / "processes" / "control-plane.kube-apiserver.json"
        wait_for(record.exists, "the API server to be started", log=LOGS, seconds=OTHERS_SECONDS)
        half.kill()
    down_and_nothing_is_left()
