"""Clusters as a whole: up, down, which there are, and what a test wants to do to one.

A cluster is brought up by one way only: everything that does not run is started, on what is kept of the time before.
So the first start, the repair of a damaged cluster and the return after a reboot are the same, and where what is kept
is no good, it is thrown away once. Taking one down needs no knowledge of it but its name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lab import bringup, cgroups, health, machines, network, nodes, pki, places, processes
from lab import spec as specs
from lab.errors import LabError
from lab.host import check_machine
from lab.machines import Machine
from lab.progress import Progress
from lab.roster import roster
from lab.spec import ClusterSpec, NodeSpec
from lab.toolchain import locked

BUSY_SECONDS = 600.0
"""How long to wait for another command of the lab that is at work on clusters."""


@dataclass(frozen=True)
class Node:
    """A node of a running cluster.

    Attributes:
        name: its name to Kubernetes.
        address: its IP address, reachable from the host.
        proxy_mode: kube-proxy's mode, "iptables" or "nftables".
        pid: its init, for `nsenter --target`; another one after a repair.
    """

    name: str
    address: str
    proxy_mode: str
    pid: int

    @property
    def netns(self) -> Path:
        """Its network namespace, for `nsenter --net=`; another one after a repair."""
        return Path(f"/proc/{self.pid}/ns/net")


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        name: its name in the lab.
        kubeconfig: the administrator's, with one kube context.
        kube_context: that kube context's name.
        host_address: where its nodes and pods reach this computer.
        nodes: in order.
    """

    name: str
    kubeconfig: Path
    kube_context: str
    host_address: str
    nodes: tuple[Node, ...]


def up(
    name: str, *, nodes: int = 2, proxy_modes: Sequence[str] = ("iptables",), report: Progress | None = None
) -> Cluster:
    """Bring a cluster up, or back, or leave it alone where it is well. Idempotent.

    Args:
        name: what it is called.
        nodes: how many nodes it has.
        proxy_modes: kube-proxy's mode, one for all nodes or one for each.
        report: who is told about it.

    Raises:
        LabError: it did not come up, there is one of that name with other nodes, or there is no room for one more.
    """
    check_machine()
    report = report or Progress(Console(quiet=True))
    specs.check_name(name)
    modes = specs.modes_for(nodes, proxy_modes)
    with _locked():
        spec = specs.saved(name)
        if spec and spec.proxy_modes != modes:
            raise LabError(
                f"Cluster {name} has the nodes {' '.join(spec.proxy_modes)}, not {' '.join(modes)}; "
                f"keep to that, or take it down first: python -m lab down {name}"
            )
        if not spec:
            specs.check_folder(name)
            _clear(name)
            spec = _free_spec(name, modes)
            specs.save(spec)
            bringup.start(spec, report)
        elif trouble := health.trouble(spec):
            report.say(f"cluster {name}: {trouble}, bringing it back")
            _bring_back(spec, report)
        return _running(spec)


def down(name: str) -> None:
    """End a cluster and remove all that it has. Idempotent; works on what a crash left, too.

    Raises:
        LabError: something that belongs to it could not be ended or removed.
    """
    check_machine()
    specs.check_name(name)
    with _locked():
        specs.check_folder(name)
        _clear(name)


def clusters() -> list[Cluster]:
    """The clusters whose machines run, in order of their names."""
    found = [spec for name in specs.names() if (spec := specs.saved(name))]
    return [_running(spec) for spec in found if all(machine.alive for machine in roster(spec))]


def restart(name: str, machine: str, process: str) -> None:
    """Stop one process of a cluster and start it again, without waiting until it is ready.

    Args:
        name: the cluster.
        machine: a node's name, or "control-plane".
        process: as in `lab.roster`: "kube-proxy", "kubelet", "containerd", "kube-apiserver"…

    Raises:
        LabError: there is no such process, or it did not stop or start.
    """
    found, command = _process(name, machine, process)
    machines.stop(found, process)
    machines.start(found, process, command)


def kubeconfig_for(name: str, user: str, groups: Sequence[str] = ()) -> Path:
    """A kubeconfig for a user who may do what RBAC says, and nothing if it says nothing.

    Args:
        name: the cluster.
        user: the user's name to Kubernetes; also part of the file's name.
        groups: the groups that the user is in.

    Raises:
        LabError: there is no such cluster.
    """
    spec = known(name)
    authority = pki.found(spec.pki)
    identity = pki.issue(authority, user, groups=groups)
    file = spec.folder / "kubeconfigs" / f"{user.replace('/', '_')}.json"
    file.parent.mkdir(exist_ok=True, mode=0o700)
    pki.write_secret(file, pki.kubeconfig(authority, identity, server=spec.server, kube_context=spec.kube_context))
    return file


def _bring_back(spec: ClusterSpec, report: Progress) -> None:
    try:
        bringup.start(spec, report)
    except LabError as error:
        report.say(f"cluster {spec.name} does not come back, so it is built anew: {error}")
        _clear(spec.name, but_logs=True)
        bringup.start(spec, report)


def _clear(name: str, *, but_logs: bool = False) -> None:
    """End and remove all that bears a cluster's name; knows nothing else of it, so it works after any crash."""
    folder = specs.folder_of(name)
    spec = specs.saved(name)
    processes.end_marked(name)
    cgroups.remove(f"{cgroups.ROOT}/{name}", folder / "logs")
    if spec:
        network.unplug(spec)
    specs.remove(name, but_logs=but_logs)


def _free_spec(name: str, modes: tuple[str, ...]) -> ClusterSpec:
    used = {spec.index for other in specs.names() if (spec := specs.saved(other))}
    reasons = []
    for index in specs.INDEXES:
        spec = ClusterSpec(name, index, modes)
        busy = f"{spec.subnet} is another cluster's" if index in used else network.conflict(spec)
        if not busy:
            return spec
        reasons.append(busy)
    raise LabError(f"There is no room for cluster {name}: {'; '.join(reasons)}. Take one down: python -m lab down NAME")


def known(name: str) -> ClusterSpec:
    """The spec of a cluster that there is, running or not.

    Raises:
        LabError: there is none of that name.
    """
    spec = specs.saved(name)
    if not spec:
        there = ", ".join(specs.names()) or "none"
        raise LabError(f"There is no cluster {name} (there is: {there}); make it with: python -m lab up {name}")
    return spec


def _process(name: str, machine: str, process: str) -> tuple[Machine, list[str]]:
    there = roster(known(name))
    for found, commands in there.items():
        if found.name == machine and process in commands:
            return found, commands[process]
    choice = "; ".join(f"{found.name}: {', '.join(commands)}" for found, commands in there.items())
    raise LabError(f"Cluster {name} has no {process} on {machine}. It has {choice}.")


def _running(spec: ClusterSpec) -> Cluster:
    def node(wanted: NodeSpec) -> Node:
        pid = nodes.machine_of(spec, wanted).pid
        return Node(wanted.name, wanted.address, wanted.proxy_mode, pid)

    found = tuple(node(wanted) for wanted in spec.nodes)
    return Cluster(spec.name, spec.kubeconfig, spec.kube_context, spec.host_address, found)


@contextmanager
def _locked() -> Iterator[None]:
    with locked(places.STATE / "locks" / "clusters", BUSY_SECONDS):
        yield
