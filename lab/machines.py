"""A machine of the lab: a network, a mount and a PID namespace that live and die with one process, their init.

Killing the init ends every process of the machine, and its mounts, interfaces and firewall rules go with it: a crash
leaves nothing to clean but files. A machine has a /var of its own, which survives it, and a /run and a /tmp, which do
not. What runs in it is for control_plane and nodes; how machines reach each other is for network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import processes
from lab.errors import LabError
from lab.processes import Process
from lab.spec import ClusterSpec
from lab.toolchain import tool
from lab.waiting import wait_for

START_SECONDS = 10.0
STOP_SECONDS = 10.0
"""How long a process may take to obey SIGTERM."""

CONTROL_PLANE = "control-plane"
"""The name of the machine that is no node."""

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
"""What every machine finds in /run/bin, wherever it is on the host."""

_SCRIPT = Path(__file__).with_name("machine.sh")


@dataclass(frozen=True)
class Machine:
    """One machine of a cluster, running or not."""

    spec: ClusterSpec
    name: str

    @property
    def var(self) -> Path:
        """What is /var to the machine."""
        return self.spec.folder / "machines" / self.name

    @property
    def init(self) -> Process | None:
        """The record of its init."""
        return processes.recorded(self.record("init"))

    @property
    def alive(self) -> bool:
        """Whether it runs and has all that an init prepares."""
        init = self.init
        return bool(init and init.alive and Path(f"/proc/{init.pid}/root/run/ready").exists())

    @property
    def pid(self) -> int:
        """Its init, by whose number its namespaces are entered.

        Raises:
            LabError: it does not run.
        """
        init = self.init
        if not init or not init.alive:
            raise LabError(f"{self.name} does not run; bring it back with: python -m lab up {self.spec.name}")
        return init.pid

    @property
    def run(self) -> Path:
        """Its /run as the host sees it, gone with the machine."""
        return Path(f"/proc/{self.pid}/root/run")

    @property
    def interfaces(self) -> set[str]:
        """The names of its network interfaces."""
        lines = Path(f"/proc/{self.pid}/net/dev").read_text().splitlines()[2:]
        return {line.partition(":")[0].strip() for line in lines}

    def inside(self, *command: str) -> list[str]:
        """A command, as it has to be run to run on the machine."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *command]

    def process(self, name: str) -> Process | None:
        """The record of one of its processes."""
        return processes.recorded(self.record(name))

    def runs(self, name: str) -> bool:
        """Whether one of its processes runs."""
        process = self.process(name)
        return bool(process and process.alive)

    def log(self, name: str) -> Path:
        """The log of one of its processes."""
        return self.spec.log(f"{self.name}.{name}")

    def write(self, files: Mapping[str, str]) -> None:
        """Write files below its /var, named as the machine sees them; for root's eyes only."""
        for name, content in files.items():
            file = self.var / Path(name).relative_to("/var")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(content)

    def mark(self, name: str) -> str:
        """What one of its processes carries in its environment."""
        return f"{self.spec.name}/{self.name}/{name}"

    def record(self, name: str) -> Path:
        """The file that records one of its processes."""
        return self.spec.folder / "processes" / f"{self.name}.{name}.json"


def halt(machine: Machine) -> None:
    """End a machine with everything that runs on it. Idempotent."""
    if machine.init:
        processes.end(machine.init)


def boot(machine: Machine) -> None:
    """Start a machine; one that still runs, or half runs, is ended first.

    Raises:
        LabError: it did not come up; the sentence names the log.
    """
    machine.var.mkdir(parents=True, exist_ok=True)
    machine.spec.volumes.mkdir(exist_ok=True)
    log = machine.log("init")
    namespaces = ["unshare", "--net", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--wd=/"]
    programs = [f"{name}={tool(name)}" for name in PROGRAMS]
    setup = ["sh", str(_SCRIPT), str(machine.var), str(machine.spec.volumes), *programs]
    init = processes.start(
        [*namespaces, *setup],
        record=machine.record("init"),
        log=log,
        mark=machine.mark("init"),
        forks=True,
    )

    def ready() -> bool:
        if not init.alive:
            raise LabError(f"{machine.name} ended while it was set up; see {log}.")
        return machine.alive

    wait_for(ready, f"{machine.name} to set itself up", log=log, seconds=START_SECONDS)


def start(machine: Machine, name: str, command: Sequence[str]) -> Process:
    """Start one process on a machine.

    Raises:
        LabError: the machine does not run, or the process ended at once.
    """
    return processes.start(
        machine.inside(*command),
        record=machine.record(name),
        log=machine.log(name),
        mark=machine.mark(name),
        forks=True,
    )


def stop(machine: Machine, name: str) -> None:
    """Stop one process on a machine and wait until it is gone. Idempotent."""
    process = machine.process(name)
    if process:
        processes.end(process, grace=STOP_SECONDS)


def watch(machine: Machine, name: str) -> None:
    """Raise a LabError if a process that was started has ended."""
    if not machine.runs(name):
        raise LabError(f"{name} on {machine.name} has ended; see {machine.log(name)}.")
