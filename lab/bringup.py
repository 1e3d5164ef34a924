"""Start a cluster: machines, control plane and nodes, in this order. Parts that already run are left alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lab import cgroups, control_plane, health, machines, network, nodes
from lab.machines import Machine
from lab.progress import Progress
from lab.spec import ClusterSpec
from lab.waiting import wait_for

READY_SECONDS = 60.0


def start(spec: ClusterSpec, report: Progress) -> None:
    """Start everything that does not run, and wait until the cluster is ready for use. Idempotent.

    Raises:
        LabError: a part did not start or was not ready in time; the other parts keep running.
    """
    control_plane.issue(spec)
    steps = report.steps(3)
    with steps.step(f"cluster {spec.name}: machines", "booting"):
        _boot_machines(spec)
    with steps.step(f"cluster {spec.name}: control plane", "starting"), ThreadPoolExecutor() as pool:
        prepared = [pool.submit(nodes.prepare, spec, node) for node in spec.nodes]
        control_plane.start(spec)
        for task in prepared:
            task.result()
    with steps.step(f"cluster {spec.name}: {len(spec.nodes)} nodes", "joining"):
        for node in spec.nodes:
            nodes.start(spec, node)
        _wait_until_ready(spec)


def _boot_machines(spec: ClusterSpec) -> None:
    bridge = control_plane.machine_of(spec)
    if not network.is_wired(bridge, bridge):
        machines.boot(bridge)
        network.wire_control_plane(bridge)
    for node in spec.nodes:
        machine = nodes.machine_of(spec, node)
        if not network.is_wired(machine, bridge):
            machines.halt(machine)
            cgroups.remove(cgroups.group_of(spec, node.name), machine.log("init"))
            machines.boot(machine)
            network.wire_node(machine, node, bridge)


def _wait_until_ready(spec: ClusterSpec) -> None:
    for node in spec.nodes:
        machine = nodes.machine_of(spec, node)
        _wait(machine, nodes.KUBELET, partial(health.is_ready, spec, node), f"{node.name} to be Ready")
        _wait(machine, nodes.PROXY, partial(nodes.has_service_rules, node), f"{node.name} to have the service rules")
    manager = control_plane.CONTROLLER_MANAGER
    account = partial(health.has_service_account, spec)
    _wait(control_plane.machine_of(spec), manager, account, "the namespace default to have a service account")


def _wait(machine: Machine, process: str, check: Callable[[], bool], what: str) -> None:
    def check_while_running() -> bool:
        machines.watch(machine, process)
        return check()

    wait_for(check_while_running, what, log=machine.log(process), seconds=READY_SECONDS)
