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
from lab import plan as plans
from lab.errors import LabError
from lab.host import check_machine
from lab.machines import Machine
from lab.plan import NodePlan, Plan
from lab.progress import Progress
from lab.roster import roster
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
    plans.check_name(name)
    modes = plans.modes_for(nodes, proxy_modes)
    with _locked():
        plan = plans.saved(name)
        if plan and plan.proxy_modes != modes:
            raise LabError(
                f"Cluster {name} has the nodes {' '.join(plan.proxy_modes)}, not {' '.join(modes)}; "
                f"keep to that, or take it down first: python -m lab down {name}"
            )
        if not plan:
            plans.check_folder(name)
            _clear(name)
            plan = _free_plan(name, modes)
            plans.save(plan)
            bringup.start(plan, report)
        elif trouble := health.trouble(plan):
            report.say(f"cluster {name}: {trouble}, bringing it back")
            _bring_back(plan, report)
        return _running(plan)


def down(name: str) -> None:
    """End a cluster and remove all that it has. Idempotent; works on what a crash left, too.

    Raises:
        LabError: something that belongs to it could not be ended or removed.
    """
    check_machine()
    plans.check_name(name)
    with _locked():
        plans.check_folder(name)
        _clear(name)


def clusters() -> list[Cluster]:
    """The clusters whose machines run, in order of their names."""
    found = [plan for name in plans.names() if (plan := plans.saved(name))]
    return [_running(plan) for plan in found if all(machine.alive for machine in roster(plan))]


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
    plan = known(name)
    authority = pki.found(plan.pki)
    identity = pki.issue(authority, user, groups=groups)
    file = plan.folder / "kubeconfigs" / f"{user.replace('/', '_')}.json"
    file.parent.mkdir(exist_ok=True, mode=0o700)
    pki.write_secret(file, pki.kubeconfig(authority, identity, server=plan.server, kube_context=plan.kube_context))
    return file


def _bring_back(plan: Plan, report: Progress) -> None:
    try:
        bringup.start(plan, report)
    except LabError as error:
        report.say(f"cluster {plan.name} does not come back, so it is built anew: {error}")
        _clear(plan.name, but_logs=True)
        bringup.start(plan, report)


def _clear(name: str, *, but_logs: bool = False) -> None:
    """End and remove all that bears a cluster's name; knows nothing else of it, so it works after any crash."""
    folder = plans.folder_of(name)
    plan = plans.saved(name)
    processes.end_marked(name)
    cgroups.remove(f"{cgroups.ROOT}/{name}", folder / "logs")
    if plan:
        network.unplug(plan)
    plans.remove(name, but_logs=but_logs)


def _free_plan(name: str, modes: tuple[str, ...]) -> Plan:
    used = {plan.index for other in plans.names() if (plan := plans.saved(other))}
    reasons = []
    for index in plans.INDEXES:
        plan = Plan(name, index, modes)
        busy = f"{plan.subnet} is another cluster's" if index in used else network.conflict(plan)
        if not busy:
            return plan
        reasons.append(busy)
    raise LabError(f"There is no room for cluster {name}: {'; '.join(reasons)}. Take one down: python -m lab down NAME")


def known(name: str) -> Plan:
    """The plan of a cluster that there is, running or not.

    Raises:
        LabError: there is none of that name.
    """
    plan = plans.saved(name)
    if not plan:
        there = ", ".join(plans.names()) or "none"
        raise LabError(f"There is no cluster {name} (there is: {there}); make it with: python -m lab up {name}")
    return plan


def _process(name: str, machine: str, process: str) -> tuple[Machine, list[str]]:
    there = roster(known(name))
    for found, commands in there.items():
        if found.name == machine and process in commands:
            return found, commands[process]
    choice = "; ".join(f"{found.name}: {', '.join(commands)}" for found, commands in there.items())
    raise LabError(f"Cluster {name} has no {process} on {machine}. It has {choice}.")


def _running(plan: Plan) -> Cluster:
    def node(planned: NodePlan) -> Node:
        pid = nodes.machine_of(plan, planned).pid
        return Node(planned.name, planned.address, planned.proxy_mode, pid)

    found = tuple(node(planned) for planned in plan.nodes)
    return Cluster(plan.name, plan.kubeconfig, plan.kube_context, plan.host_address, found)


@contextmanager
def _locked() -> Iterator[None]:
    with locked(places.STATE / "locks" / "clusters", BUSY_SECONDS):
        yield
