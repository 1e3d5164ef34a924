"""How the machines of a cluster reach each other, and the host them: one bridge, and a cable from it to everybody.

The bridge lives in the control plane's network namespace, out of reach of the host's firewall (a Docker engine makes
the host drop what it forwards). Every cable is a veth pair, which the kernel removes with either end's namespace, so
there is nothing to undo. No machine has a default route: nothing leaves this computer.
"""

import ipaddress
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.machines import Machine
from lab.plan import SERVICES, NodePlan, Plan
from lab.waiting import wait_for

LIMIT_SECONDS = 30.0


def wire_control_plane(machine: Machine) -> None:
    """Build the bridge in a machine that has just booted, and plug the host into it.

    Raises:
        LabError: a command failed; the sentence repeats what it said.
    """
    plan = machine.plan
    wait_until_unplugged(plan)
    _ip([], [f"link add {plan.host_interface} type veth peer name host netns {machine.pid}"])
    bridge = [
        f"link add br0 address {_mac(plan.api_address)} type bridge",
        f"addr add {plan.api_address}/24 dev br0",
        "link set br0 up",
    ]
    _ip(machine.inside(), [*bridge, "link set host master br0 up", *_routes(plan.nodes)])
    host = [f"addr add {plan.host_address}/24 dev {plan.host_interface}", f"link set {plan.host_interface} up"]
    _ip([], [*host, *_routes(plan.nodes)])
    _set_wired(machine)


def wire_node(machine: Machine, node: NodePlan, control_plane: Machine) -> None:
    """Plug a node that has just booted into the bridge.

    Raises:
        LabError: a command failed; the sentence repeats what it said.
    """
    plan = machine.plan
    port = node.name.removeprefix(f"{plan.name}-")
    _wait_until_gone(plan, port, lambda: port not in control_plane.interfaces)
    end = f"eth0 netns {machine.pid} address {_mac(node.address)}"
    _ip([], [f"link add {port} netns {control_plane.pid} type veth peer name {end}"])
    _ip(control_plane.inside(), [f"link set {port} master br0 up"])
    eth0 = [f"addr add {node.address}/24 dev eth0", "link set eth0 up"]
    # kube-proxy gives a service's packets another destination, but only after the kernel has found a way to the first.
    services = f"route add {SERVICES} via {plan.api_address}"
    _ip(machine.inside(), [*eth0, services, *_routes([other for other in plan.nodes if other != node])])
    _set_wired(machine)


def is_wired(machine: Machine) -> bool:
    """Whether a machine runs, was wired to its end, and still has the other end of its cable."""
    interface = "host" if machine.is_control_plane else "eth0"
    return machine.alive and (machine.run / "wired").exists() and interface in machine.interfaces


def conflict(plan: Plan) -> str | None:
    """Why a cluster's address ranges cannot be used on this computer now; None where they can."""
    if _interface(plan).exists():
        return f"there is an interface {plan.host_interface} already"
    wanted = [ipaddress.ip_network(plan.subnet), ipaddress.ip_network(plan.pods)]
    answer = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    for route in json.loads(answer.stdout):
        if route["dst"] != "default" and any(ipaddress.ip_network(route["dst"]).overlaps(range_) for range_ in wanted):
            return f"{route['dst']} is routed to {route.get('dev')}"
    return None


def wait_until_unplugged(plan: Plan) -> None:
    """Return when the host's end of the link is gone, which the kernel removes a moment after the other end.

    Raises:
        LabError: it is still there after `LIMIT_SECONDS`.
    """
    interface = _interface(plan)
    _wait_until_gone(plan, plan.host_interface, lambda: not interface.exists())


def _wait_until_gone(plan: Plan, interface: str, gone: Callable[[], bool]) -> None:
    wait_for(gone, f"the kernel to remove the interface {interface}", log=plan.log("network"), seconds=LIMIT_SECONDS)


def _interface(plan: Plan) -> Path:
    return Path("/sys/class/net") / plan.host_interface


def _mac(address: str) -> str:
    """A hardware address that follows from the IP address.

    A bridge without one of its own changes it with every port, and a node would have another after each boot: either
    way its neighbours would go on talking to the old one for most of a minute.
    """
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def _routes(nodes: Sequence[NodePlan]) -> list[str]:
    return [f"route add {node.pods} via {node.address}" for node in nodes]


def _set_wired(machine: Machine) -> None:
    (machine.run / "wired").touch()


def _ip(enter: Sequence[str], commands: Sequence[str]) -> None:
    done = subprocess.run(
        [*enter, "ip", "-batch", "-"],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"The cluster's network could not be set up: {' '.join(done.stderr.split())}")
