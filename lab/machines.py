"""A machine of the lab: a network, a mount and a PID namespace that belong to one process, their init.

Killing the init ends every process of the machine and removes its mounts, interfaces and firewall rules, so a crash
leaves only files behind. The machine's /var is kept; its /run and /tmp are removed with it. lab/control_plane.py and
lab/nodes.py define what runs on a machine, lab/network.py connects them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import processes
from lab.errors import LabError
from lab.parts import of_cluster
from lab.processes import Process
from lab.spec import ClusterSpec
from lab.toolchain import tool
from lab.waiting import wait_for

START_SECONDS = 10.0
STOP_SECONDS = 10.0
"""How long a process may take to stop after SIGTERM."""

CONTROL_PLANE = "control-plane"
"""The name of the control plane's machine."""

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "containerd",
    "containerd-shim-runc-v2",
)
"""Programs that every machine has in /run/bin, in the versions of its cluster."""

_SCRIPT = Path(__file__).with_name("machine.sh")


@dataclass(frozen=True)
class Machine:
    """One machine of a cluster, running or not."""

    spec: ClusterSpec
    name: str

    @property
    def var(self) -> Path:
        """The folder on the host that is the machine's /var."""
        return self.spec.folder / "machines" / self.name

    @property
    def init(self) -> Process | None:
        """The record of its init."""
        return processes.recorded(self.record("init"))

    @property
    def alive(self) -> bool:
        """Return whether it runs and its init has finished the setup."""
        init = self.init
        return bool(init and init.alive and Path(f"/proc/{init.pid}/root/run/ready").exists())

    @property
    def pid(self) -> int:
        """The pid of its init, to enter its namespaces.

        Raises:
            LabError: it does not run.
        """
        init = self.init
        if not init or not init.alive:
            raise LabError(f"{self.name} does not run. Fix: `python -m lab up {self.spec.name}`")
        return init.pid

    @property
    def run(self) -> Path:
        """The path on the host of the machine's /run, which is removed with the machine."""
        return Path(f"/proc/{self.pid}/root/run")

    @property
    def interfaces(self) -> set[str]:
        """The names of its network interfaces."""
        lines = Path(f"/proc/{self.pid}/net/dev").read_text().splitlines()[2:]
        return {line.partition(":")[0].strip() for line in lines}

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs a command on the machine."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", *command]

    def process(self, name: str) -> Process | None:
        """Return the record of one of its processes."""
        return processes.recorded(self.record(name))

    def runs(self, name: str) -> bool:
        """Return whether one of its processes runs."""
        process = self.process(name)
        return bool(process and process.alive)

    def log(self, name: str) -> Path:
        """Return the log of one of its processes."""
        return self.spec.log(f"{self.name}.{name}")

    def write(self, files: Mapping[str, str]) -> None:
        """Write files below its /var, given by their paths on the machine; only root can read them."""
        for name, content in files.items():
            file = self.var / Path(name).relative_to("/var")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(content)

    def mark(self, name: str) -> str:
        """Return the mark in the environment of one of its processes."""
        return f"{self.spec.name}/{self.name}/{name}"

    def record(self, name: str) -> Path:
        """Return the file that records one of its processes."""
        return self.spec.folder / "processes" / f"{self.name}.{name}.json"


def halt(machine: Machine) -> None:
    """Stop a machine and everything that runs on it. Idempotent."""
    if machine.init:
        processes.end(machine.init)


def boot(machine: Machine) -> None:
    """Start a machine; if it still runs, completely or partly, stop it first.

    Raises:
        LabError: it did not start; the message names the log.
    """
    machine.var.mkdir(parents=True, exist_ok=True)
    machine.spec.volumes.mkdir(exist_ok=True)
    log = machine.log("init")
    namespaces = ["unshare", "--net", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--wd=/"]
    parts = of_cluster(machine.spec.versions)
    programs = [f"{name}={tool(name, parts)}" for name in PROGRAMS]
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
            raise LabError(f"{machine.name} failed to start; see {log}.")
        return machine.alive

    wait_for(ready, f"{machine.name} to start", log=log, seconds=START_SECONDS)


def start(machine: Machine, name: str, command: Sequence[str]) -> Process:
    """Start a process on a machine.

    Raises:
        LabError: the machine does not run, or the process ended immediately.
    """
    return processes.start(
        machine.inside(*command),
        record=machine.record(name),
        log=machine.log(name),
        mark=machine.mark(name),
        forks=True,
    )


def stop(machine: Machine, name: str) -> None:
    """Stop a process on a machine and wait until it has ended. Idempotent."""
    process = machine.process(name)
    if process:
        processes.end(process, grace=STOP_SECONDS)


def watch(machine: Machine, name: str) -> None:
    """Raise a LabError if a process has ended."""
    if not machine.runs(name):
        raise LabError(f"{name} on {machine.name} has ended; see {machine.log(name)}.")
