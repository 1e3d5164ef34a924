"""Create, list and remove clusters, and the operations on them that tests need.

There is one way to bring a cluster up: start every part that does not run, with the files of the previous run. The
first start, a repair and a start after a reboot are therefore the same. If that fails, the files are deleted and the
cluster is created again, once. Removing a cluster requires only its name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from lab import bringup, cgroups, health, inotify, machines, network, nodes, pki, places, processes
from lab import spec as specs
from lab.errors import LabError
from lab.host import check_machine
from lab.machines import Machine
from lab.progress import Progress
from lab.roster import roster
from lab.spec import ClusterSpec, NodeSpec
from lab.toolchain import locked
from lab.versions import Versions, chosen, describe

BUSY_SECONDS = 600.0
"""How long to wait for another command of the lab that holds the lock on clusters."""


@dataclass(frozen=True)
class Node:
    """A node of a running cluster.

    Attributes:
        name: its name in Kubernetes.
        address: its IP address, reachable from the host.
        proxy_mode: kube-proxy's mode, "iptables" or "nftables".
        pid: pid of its init, for `nsenter --target`; it changes with a repair.
    """

    name: str
    address: str
    proxy_mode: str
    pid: int

    @property
    def netns(self) -> Path:
        """Its network namespace, for `nsenter --net=`; it changes with a repair."""
        return Path(f"/proc/{self.pid}/ns/net")


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        name: its name in the lab.
        kubeconfig: the administrator's kubeconfig, with one kube context.
        kube_context: the name of that kube context.
        host_address: the address at which its nodes and pods reach this computer.
        nodes: in order.
        versions: what its nodes run, and the version of its Docker engine.
    """

    name: str
    kubeconfig: Path
    kube_context: str
    host_address: str
    nodes: tuple[Node, ...]
    versions: Versions


def up(
    name: str,
    *,
    nodes: int = 2,
    proxy_modes: Sequence[str] = ("iptables",),
    versions: Versions | None = None,
    report: Progress | None = None,
) -> Cluster:
    """Create a cluster, or repair it; a healthy one is left alone. Idempotent.

    Args:
        name: its name.
        nodes: the number of nodes.
        proxy_modes: kube-proxy's mode, one for all nodes or one for each.
        versions: by default those that the environment chooses.
        report: where to print progress.

    Raises:
        LabError: it did not start, a cluster of that name has other nodes or versions, or no address range is free.
    """
    check_machine()
    report = report or Progress(Console(quiet=True))
    specs.check_name(name)
    modes, versions = specs.modes_for(nodes, proxy_modes), versions or chosen()
    with _locked():
        spec = specs.saved(name)
        if spec:
            _check_same(spec, modes, versions)
        if not spec:
            specs.check_folder(name)
            _clear(name)
            spec = _free_spec(name, modes, versions)
            specs.save(spec)
            inotify.raise_limit()
            bringup.start(spec, report)
        elif trouble := health.trouble(spec):
            report.say(f"cluster {name}: {trouble}, repairing it")
            _bring_back(spec, report)
        return _running(spec)


def down(name: str) -> None:
    """Stop a cluster and remove everything that belongs to it. Idempotent; also works after a crash.

    Raises:
        LabError: a part of it could not be stopped or removed.
    """
    check_machine()
    specs.check_name(name)
    with _locked():
        specs.check_folder(name)
        _clear(name)
        if not specs.names():
            inotify.restore_limit()


def clusters() -> list[Cluster]:
    """Return the clusters whose machines all run, sorted by name."""
    found = [spec for name in specs.names() if (spec := specs.saved(name))]
    return [_running(spec) for spec in found if all(machine.alive for machine in roster(spec))]


def restart(name: str, machine: str, process: str) -> None:
    """Restart one process of a cluster, without waiting until it is ready.

    Args:
        name: the cluster.
        machine: a node's name, or "control-plane".
        process: as in `lab.roster`: "kube-proxy", "kubelet", "containerd", "kube-apiserver"…

    Raises:
        LabError: the process does not exist, or did not stop or start.
    """
    found, command = _process(name, machine, process)
    machines.stop(found, process)
    machines.start(found, process, command)


def change_proxy_mode(name: str, node: str, mode: str) -> None:
    """Restart a node's kube-proxy in another mode, without waiting until it is ready.

    Args:
        name: the cluster.
        node: the node's name.
        mode: "iptables" or "nftables".

    Raises:
        LabError: the node or the mode does not exist, or kube-proxy did not stop or start.
    """
    found, _ = _process(name, node, nodes.PROXY)
    spec = known(name)
    modes = [mode if each.name == node else each.proxy_mode for each in spec.nodes]
    spec = replace(spec, proxy_modes=specs.modes_for(len(modes), modes))
    specs.save(spec)
    machines.stop(found, nodes.PROXY)
    nodes.start(spec, next(each for each in spec.nodes if each.name == node))


def kubeconfig_for(name: str, user: str, groups: Sequence[str] = ()) -> Path:
    """Create a kubeconfig for a user who has only the permissions that RBAC grants.

    Args:
        name: the cluster.
        user: the user's name in Kubernetes; also part of the file's name.
        groups: the groups of the user.

    Raises:
        LabError: the cluster does not exist.
    """
    spec = known(name)
    authority = pki.found(spec.pki)
    identity = pki.issue(authority, user, groups=groups)
    file = spec.folder / "kubeconfigs" / f"{user.replace('/', '_')}.json"
    file.parent.mkdir(exist_ok=True, mode=0o700)
    pki.write_secret(file, pki.kubeconfig(authority, identity, server=spec.server, kube_context=spec.kube_context))
    return file


def _bring_back(spec: ClusterSpec, report: Progress) -> None:
    inotify.raise_limit()
    try:
        bringup.start(spec, report)
    except LabError as error:
        report.say(f"cluster {spec.name} cannot be repaired and is created again: {error}")
        _clear(spec.name, but_logs=True)
        bringup.start(spec, report)


def _clear(name: str, *, but_logs: bool = False) -> None:
    """Stop and remove everything with a cluster's name; it needs no other state, so it works after any crash."""
    folder = specs.folder_of(name)
    spec = specs.saved(name)
    processes.end_marked(name)
    cgroups.remove(f"{cgroups.ROOT}/{name}", folder / "logs")
    if spec:
        network.unplug(spec)
    specs.remove(name, but_logs=but_logs)


def _check_same(spec: ClusterSpec, modes: tuple[str, ...], versions: Versions) -> None:
    there = [
        (f"proxy modes {' '.join(spec.proxy_modes)}", f"proxy modes {' '.join(modes)}"),
        (describe(spec.versions), describe(versions)),
    ]
    for is_, wanted in there:
        if is_ != wanted:
            raise LabError(
                f"Cluster {spec.name} exists with {is_}, not with {wanted}. "
                f"Fix: use those, or remove it first with `python -m lab down {spec.name}`"
            )


def _free_spec(name: str, modes: tuple[str, ...], versions: Versions) -> ClusterSpec:
    used = {spec.index for other in specs.names() if (spec := specs.saved(other))}
    reasons = []
    for index in specs.INDEXES:
        spec = ClusterSpec(name, index, modes, versions)
        busy = f"{spec.subnet} is used by another cluster" if index in used else network.conflict(spec)
        if not busy:
            return spec
        reasons.append(busy)
    raise LabError(
        f"No address range is free for cluster {name}: {'; '.join(reasons)}. "
        "Fix: remove a cluster with `python -m lab down NAME`"
    )


def known(name: str) -> ClusterSpec:
    """Return the spec of an existing cluster, running or not.

    Raises:
        LabError: no cluster has that name.
    """
    spec = specs.saved(name)
    if not spec:
        there = ", ".join(specs.names()) or "none"
        raise LabError(f"Cluster {name} does not exist; the clusters are: {there}. Fix: `python -m lab up {name}`")
    return spec


def _process(name: str, machine: str, process: str) -> tuple[Machine, list[str]]:
    there = roster(known(name))
    for found, commands in there.items():
        if found.name == machine and process in commands:
            return found, commands[process]
    choice = "; ".join(f"{found.name}: {', '.join(commands)}" for found, commands in there.items())
    raise LabError(f"Cluster {name} has no process {process} on {machine}; it has {choice}.")


def _running(spec: ClusterSpec) -> Cluster:
    def node(wanted: NodeSpec) -> Node:
        pid = nodes.machine_of(spec, wanted).pid
        return Node(wanted.name, wanted.address, wanted.proxy_mode, pid)

    found = tuple(node(wanted) for wanted in spec.nodes)
    return Cluster(spec.name, spec.kubeconfig, spec.kube_context, spec.host_address, found, spec.versions)


@contextmanager
def _locked() -> Iterator[None]:
    with locked(places.STATE / "locks" / "clusters", BUSY_SECONDS):
        yield
