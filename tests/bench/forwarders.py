"""Port-forwards to the registry's write door, each as a process of its own: how it is started, and what it costs."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kube_registry.names import WRITE_PORT
from kube_registry.spec.settings import Settings
from lab.errors import LabError
from lab.pulumi_home import CHECKOUT
from lab.spec import ClusterSpec
from lab.toolchain import tool
from lab.waiting import wait_for
from tests.fakes.open_registry import answers

OPEN_SECONDS = 30.0
"""How long one may take until the registry answers through it."""

END_SECONDS = 10.0
OWN_NETNS = "/proc/self/ns/net"

Place = tuple[str, int, str]
"""An address, a port, and the path of their network namespace."""


@dataclass(frozen=True)
class Way:
    """How a port-forward is started.

    Attributes:
        name: what the tables call it.
        port: where it listens, on 127.0.0.1.
        command: the program and its arguments.
        env: what is added to its environment.
    """

    name: str
    port: int
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Forwarder:
    """A port-forward that runs."""

    port: int
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """What it has used of the processors so far, in its own code and in the kernel (proc(5): utime and stime)."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_memory(self) -> int:
        """The most bytes of memory that it has held so far (proc(5): VmHWM)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def ours(spec: ClusterSpec, port: int) -> Way:
    """The tunnel as a person opens it."""
    command = ["-m", "registryctl", "tunnel", "--kube-context", spec.kube_context, "--push-port", str(port)]
    return Way("tunnel", port, [sys.executable, *command], {"KUBECONFIG": str(spec.kubeconfig)})


def kubectl(spec: ClusterSpec, settings: Settings, pod: str, port: int) -> Way:
    """`kubectl port-forward`."""
    where = [f"--kubeconfig={spec.kubeconfig}", f"--namespace={settings.namespace}"]
    return Way("kubectl", port, [str(tool("kubectl")), *where, "port-forward", f"pod/{pod}", f"{port}:{WRITE_PORT}"])


def kr8s(spec: ClusterSpec, settings: Settings, pod: str, port: int) -> Way:
    """The port-forward of the Python library kr8s."""
    where = [str(spec.kubeconfig), spec.kube_context, settings.namespace, pod]
    return Way("kr8s", port, [sys.executable, "-m", "tests.bench.kr8s_forward", *where, str(port)])


def direct(pod: Mapping[str, Any], port: int) -> Way:
    """The limit: the kernel itself, from this machine's loopback to the pod's."""
    return Way("direct", port, relay(("127.0.0.1", port, OWN_NETNS), ("127.0.0.1", WRITE_PORT, netns_of(pod))))


def relay(near: Place, far: Place) -> list[str]:
    """The command of a relay by the kernel itself; see direct.py."""
    return [sys.executable, "-m", "tests.bench.direct", *map(str, (*near, *far))]


def netns_of(pod: Mapping[str, Any]) -> str:
    """The path of a pod's network namespace."""
    return f"/proc/{process_in(pod['metadata']['uid'])}/ns/net"


@contextmanager
def running(way: Way, log: Path) -> Iterator[Forwarder]:
    """A port-forward through which the registry answers, ended at the end.

    Raises:
        LabError: it ended, or the registry did not answer through it.
    """
    with process(way.command, log, way.env) as started:

        def open_() -> bool:
            if started.poll() is not None:
                raise LabError(f"{way.name} ended with status {started.returncode}; its log is {log}.")
            return answers(way.port)

        wait_for(open_, f"the registry to answer through {way.name}", log=log, seconds=OPEN_SECONDS)
        yield Forwarder(way.port, started.pid)


@contextmanager
def process(
    command: Sequence[str], log: Path, env: Mapping[str, str] = MappingProxyType({})
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program in the checkout, ended at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        started = subprocess.Popen(
            command, cwd=CHECKOUT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def process_in(pod_uid: str, argument: str = "") -> int:
    """The number of a process of that pod, by the control group that the kubelet has put it into.

    Args:
        pod_uid: the uid of the pod.
        argument: text that is in the command line of the process.
    """
    for file in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(OSError):
            if pod_uid in file.read_text() and argument in (file.parent / "cmdline").read_text():
                return int(file.parent.name)
    raise LabError(f"No process on this machine belongs to the pod with uid {pod_uid}.")
