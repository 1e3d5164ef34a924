"""Every way to a door of the registry that needs no right on its namespace, tried from where anybody may be."""

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kube_registry.names import READ_PORT, REGISTRY, WRITE_PORT, selector
from lab.cluster import kubeconfig_for
from lab.toolchain import tool
from tests.e2e.conftest import Lab

NAMESPACE = "kube-registry"
WRITES = ("POST /v2/app/blobs/uploads/", "PUT /v2/app/manifests/hostile", "DELETE /v2/app/manifests/sha256:" + "0" * 64)
READ = "GET /v2/"
STRANGER = "the API server, without a permission"

AT_ONCE = 8
"""Ways that are tried at a time."""

ASK = r"""
nc=$1 host=$2 port=$3
shift 3
for request; do
    said() { printf '%s HTTP/1.0\r\nContent-Length: 0\r\n\r\n' "$request"; sleep 0.1; }
    line=$(said | timeout 2 $nc "$host" "$port" 2>&1)
    echo "${line%%[[:cntrl:]]*}"
done
"""
"""Requests by the tools of busybox, one line of each answer: $1 netcat, $2 host, $3 port, then methods with paths."""

Shell = Callable[[str, int], list[str]]
"""Sends a read and all writes to a host and port from some place; the first line of each answer."""


@dataclass(frozen=True)
class Tried:
    """One way, and what came of it.

    Attributes:
        source: from where.
        target: to where.
        read: the answer to a read.
        write: the answer to every way to write.
    """

    source: str
    target: str
    read: str
    write: str


@dataclass(frozen=True)
class Place:
    """The registry as the cluster has it, and the pods from which it is tried."""

    lab: Lab
    pod: str
    pod_address: str
    node: str
    service: str
    node_port: int

    def by_network(self) -> Iterator[Tried]:
        """From pods and nodes, to every address that the registry has."""
        nodes = {node.name: node for node in self.lab.cluster.nodes}
        mine = nodes.pop(self.node)
        other = next(iter(nodes.values()))
        targets = {
            "the node port, at a node's address": (mine.address, self.node_port),
            "the Service": (self.service, READ_PORT),
            "the Service, the write door's port": (self.service, WRITE_PORT),
            "the pod's address, the read door": (self.pod_address, READ_PORT),
            "the pod's address, the write door": (self.pod_address, WRITE_PORT),
        }
        loopback = {
            "the node port, at the node's loopback": ("127.0.0.1", self.node_port),
            "the node's loopback, the write door's port": ("127.0.0.1", WRITE_PORT),
        }
        sources: dict[str, tuple[Shell, dict[str, tuple[str, int]]]] = {
            "a pod of another namespace": (self._in_pod("visitor"), targets),
            "a pod of the host's network": (self._in_pod("neighbour"), loopback),
            "the registry's node": (self._on_node(mine.netns), targets | loopback),
            "another node": (self._on_node(other.netns), targets | loopback),
        }
        ways = [(source, target, at) for source, (_, reached) in sources.items() for target, at in reached.items()]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            yield from threads.map(lambda way: tried(way[0], way[1], sources[way[0]][0](*way[2])), ways)

    def by_api_server(self) -> Iterator[Tried]:
        """Through the API server, by a user without a permission."""
        pods, services = (f"/api/v1/namespaces/{NAMESPACE}/{kind}" for kind in ("pods", "services"))
        proxies = {
            "its proxy to the pod, the write door": f"{pods}/{self.pod}:{WRITE_PORT}/proxy",
            "its proxy to the Service": f"{services}/{REGISTRY}:{READ_PORT}/proxy",
        }
        for target, path in proxies.items():
            yield tried(STRANGER, target, [self._raw(path, request) for request in (READ, *WRITES)])
        yield tried(STRANGER, "a port-forward to the pod", [self._kubectl("port-forward", *self._inside, ":5000")] * 2)
        yield tried(STRANGER, "a command in the pod", [self._kubectl("exec", *self._inside, "--", "registry")] * 2)

    @property
    def _inside(self) -> tuple[str, ...]:
        return (f"--namespace={NAMESPACE}", self.pod)

    def _in_pod(self, name: str) -> Shell:
        def ask(host: str, port: int) -> list[str]:
            script = ("exec", name, "--", "sh", "-c", ASK, "ask", "nc", host, str(port), READ, *WRITES)
            return self.lab.kubectl(*script).splitlines()

        return ask

    def _on_node(self, netns: Path) -> Shell:
        def ask(host: str, port: int) -> list[str]:
            command = ["nsenter", f"--net={netns}", "sh", "-c", ASK, "ask", f"{tool('busybox')} nc", host, str(port)]
            done = subprocess.run([*command, READ, *WRITES], capture_output=True, text=True, check=True, timeout=30)
            return done.stdout.splitlines()

        return ask

    def _raw(self, path: str, request: str) -> str:
        method, _, rest = request.partition(" ")
        verb = {"GET": "get", "POST": "create", "PUT": "replace", "DELETE": "delete"}[method]
        body = ("--filename", "-") if method in ("POST", "PUT") else ()
        return self._kubectl(verb, "--raw", f"{path}{rest}", *body)

    def _kubectl(self, *asked: str) -> str:
        kubeconfig = kubeconfig_for(self.lab.cluster.name, "eve")
        command = [str(tool("kubectl")), "--kubeconfig", str(kubeconfig), *asked]
        done = subprocess.run(command, input="{}", capture_output=True, text=True, check=False, timeout=30)
        return done.stderr + done.stdout


def tried(source: str, target: str, answers: list[str]) -> Tried:
    """The answer to a read and to all writes, which have to be the same."""
    read, *writes = map(words, answers)
    assert len(set(writes)) == 1, f"{source}, {target}: {writes}"
    return Tried(source, target, read, writes[0])


def words(answer: str) -> str:
    """What is told of an answer: the same on every machine."""
    status = re.match(r"HTTP/\S+ (\d+ [\w ]+)", answer)
    if status:
        return status[1].strip()
    known = {"refused": "connection refused", "orbidden": "403 Forbidden", "unreachable": "no answer"}
    return next((text for part, text in known.items() if part in answer), answer.strip() or "no answer")


def visitors(lab: Lab, node: str) -> None:
    """Make the pods that try it: an ordinary one, and one in the host's network on the registry's node."""
    for name, host_network in (("visitor", "false"), ("neighbour", "true")):
        spec = f"""{{"spec": {{"nodeName": "{node}", "hostNetwork": {host_network}, "terminationGracePeriodSeconds": 0,
            "containers": [{{"name": "{name}", "image": "busybox:stable", "command": ["sleep", "600"]}}]}}}}"""
        lab.kubectl("run", name, "--image=busybox:stable", f"--overrides={spec}")
    lab.kubectl("wait", "--for=condition=Ready", "pod/visitor", "pod/neighbour", "--timeout=25s")


def place_of(lab: Lab) -> Place:
    """The registry that runs in the lab's cluster."""
    (pod,) = lab.get("pods", "--namespace", NAMESPACE, "--selector", selector("registry"))
    (service,) = lab.get("services", "--namespace", NAMESPACE, "--field-selector", f"metadata.name={REGISTRY}")
    return Place(
        lab=lab,
        pod=pod["metadata"]["name"],
        pod_address=pod["status"]["podIP"],
        node=pod["spec"]["nodeName"],
        service=service["spec"]["clusterIP"],
        node_port=service["spec"]["ports"][0]["nodePort"],
    )
