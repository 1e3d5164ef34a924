"""How the machines of a cluster reach each other, and the host them: one bridge, and a cable from it to everybody.

The bridge lives in the control plane's network namespace, out of reach of the host's firewall (a Docker engine makes
the host drop what it forwards). Every cable is a veth pair, which goes with either end's namespace. A namespace may
linger for minutes, though, while the kernel repeats what a killed process had sent, so old cables are cut here. No
machine has a default route: nothing leaves this computer.
"""

import ipaddress
import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.machines import Machine
from lab.spec import SERVICES, ClusterSpec, NodeSpec

LIMIT_SECONDS = 30.0


def wire_control_plane(machine: Machine) -> None:
    """Build the bridge in a machine that has just booted, and plug the host into it.

    Raises:
        LabError: a command failed; the sentence repeats what it said.
    """
    spec = machine.spec
    unplug(spec)
    _ip([], [f"link add {spec.host_interface} type veth peer name host netns {machine.pid}"])
    bridge = [
        f"link add br0 address {_mac(spec.api_address)} type bridge",
        f"addr add {spec.api_address}/24 dev br0",
        "link set br0 up",
    ]
    _ip(machine.inside(), [*bridge, "link set host master br0 up", *_routes(spec.nodes)])
    host = [f"addr add {spec.host_address}/24 dev {spec.host_interface}", f"link set {spec.host_interface} up"]
    _ip([], [*host, *_routes(spec.nodes)])
    _wired(machine).write_text(_bridge(machine))


def wire_node(machine: Machine, node: NodeSpec, control_plane: Machine) -> None:
    """Plug a node that has just booted into the bridge.

    Raises:
        LabError: a command failed; the sentence repeats what it said.
    """
    spec = machine.spec
    port = node.name.removeprefix(f"{spec.name}-")
    if port in control_plane.interfaces:
        with suppress(LabError):  # the kernel may be faster
            _ip(control_plane.inside(), [f"link del {port}"])
    end = f"eth0 netns {machine.pid} address {_mac(node.address)}"
    _ip([], [f"link add {port} netns {control_plane.pid} type veth peer name {end}"])
    _ip(control_plane.inside(), [f"link set {port} master br0 up"])
    eth0 = [f"addr add {node.address}/24 dev eth0", "link set eth0 up"]
    # kube-proxy gives a service's packets another destination, but only after the kernel has found a way to the first.
    services = f"route add {SERVICES} via {spec.api_address}"
    _ip(machine.inside(), [*eth0, services, *_routes([other for other in spec.nodes if other != node])])
    _wired(machine).write_text(_bridge(control_plane))


def is_wired(machine: Machine, control_plane: Machine) -> bool:
    """Whether a machine runs and was wired to its end, and to the bridge that there is now."""
    try:
        return machine.alive and control_plane.alive and _wired(machine).read_text() == _bridge(control_plane)
    except (FileNotFoundError, ProcessLookupError):
        return False


def conflict(spec: ClusterSpec) -> str | None:
    """Why a cluster's address ranges cannot be used on this computer now; None where they can."""
    if _interface(spec).exists():
        return f"there is an interface {spec.host_interface} already"
    wanted = [ipaddress.ip_network(spec.subnet), ipaddress.ip_network(spec.pods)]
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


def unplug(spec: ClusterSpec) -> None:
    """Cut the host's cable to a cluster, if there is one. Idempotent.

    Raises:
        LabError: it is still there.
    """
    try:
        if _interface(spec).exists():
            _ip([], [f"link del {spec.host_interface}"])
    except LabError:
        if _interface(spec).exists():  # else the kernel was faster
            raise


def _interface(spec: ClusterSpec) -> Path:
    return Path("/sys/class/net") / spec.host_interface


def _mac(address: str) -> str:
    """A hardware address that follows from the IP address.

    A bridge without one of its own changes it with every port, and a node would have another after each boot: either
    way its neighbours would go on talking to the old one for most of a minute.
    """
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def _routes(nodes: Sequence[NodeSpec]) -> list[str]:
    return [f"route add {node.pods} via {node.address}" for node in nodes]


def _wired(machine: Machine) -> Path:
    """The file that says that a machine was wired since it booted, and to which bridge."""
    return machine.run / "wired"


def _bridge(control_plane: Machine) -> str:
    return str(control_plane.init)


def _ip(enter: Sequence[str], commands: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            [*enter, "ip", "-batch", "-"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"ip was not done with {commands[0]!r} after {LIMIT_SECONDS:.0f} s.") from None
    if done.returncode != 0:
        raise LabError(f"The cluster's network could not be set up: {' '.join(done.stderr.split())}")
