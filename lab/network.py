"""The network of a cluster: one bridge, connected with every machine and with the host.

The bridge is in the control plane's network namespace, where the host's firewall does not apply (a Docker engine makes
the host drop forwarded packets). Each connection is a veth pair, which is removed with the namespace of either end. The
kernel may keep a namespace for minutes while it retransmits data of a killed process, so stale veth pairs are removed
here. No machine has a default route: no packet leaves this computer.
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
    """Create the bridge on a machine that was just started, and connect the host with it.

    Raises:
        LabError: a command failed; the message contains its output.
    """
    spec = machine.spec
    unplug(spec)
    _ip([], [f"link add {spec.host_interface} type veth peer name host netns {machine.pid}"])
    bridge = [
        f"link add br0 address {mac(spec.api_address)} type bridge",
        f"addr add {spec.api_address}/24 dev br0",
        "link set br0 up",
    ]
    routes = _routes((*spec.nodes, *spec.vms))
    _ip(machine.inside(), [*bridge, "link set host master br0 up", *routes])
    host = [f"addr add {spec.host_address}/24 dev {spec.host_interface}", f"link set {spec.host_interface} up"]
    _ip([], [*host, *routes])
    _wired(machine).write_text(_bridge(machine))


def wire_node(machine: Machine, node: NodeSpec, control_plane: Machine) -> None:
    """Connect a node that was just started with the bridge.

    Raises:
        LabError: a command failed; the message contains its output.
    """
    spec = machine.spec
    port = port_of(spec, node)
    if port in control_plane.interfaces:
        with suppress(LabError):  # the kernel may have removed it meanwhile
            _ip(control_plane.inside(), [f"link del {port}"])
    end = f"eth0 netns {machine.pid} address {mac(node.address)}"
    _ip([], [f"link add {port} netns {control_plane.pid} type veth peer name {end}"])
    plug(control_plane, port)
    _ip(machine.inside(), commands(spec, node))
    _wired(machine).write_text(_bridge(control_plane))


def commands(spec: ClusterSpec, node: NodeSpec) -> list[str]:
    """Return the commands of `ip` that set up the network of a node with an interface eth0."""
    eth0 = [f"addr add {node.address}/24 dev eth0", "link set eth0 up"]
    # kube-proxy rewrites the destination of packets to a service after the routing decision, so a route has to exist.
    services = f"route add {SERVICES} via {spec.api_address}"
    return [*eth0, services, *_routes([other for other in (*spec.nodes, *spec.vms) if other.name != node.name])]


def port_of(spec: ClusterSpec, node: NodeSpec) -> str:
    """Return the name of a node's port on the bridge."""
    return node.name.removeprefix(f"{spec.name}-")


def plug(control_plane: Machine, port: str) -> None:
    """Connect an interface of the control plane with the bridge.

    Raises:
        LabError: a command failed; the message contains its output.
    """
    _ip(control_plane.inside(), [f"link set {port} master br0 up"])


def is_wired(machine: Machine, control_plane: Machine) -> bool:
    """Return whether a machine runs and is completely connected with the current bridge."""
    try:
        return machine.alive and control_plane.alive and _wired(machine).read_text() == _bridge(control_plane)
    except (FileNotFoundError, ProcessLookupError):
        return False


def conflict(spec: ClusterSpec) -> str | None:
    """Return why a cluster's address ranges cannot be used on this computer, or None if they can."""
    if _interface(spec).exists():
        return f"interface {spec.host_interface} already exists"
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
    """Remove the host's connection with a cluster. Idempotent.

    Raises:
        LabError: it still exists.
    """
    try:
        if _interface(spec).exists():
            _ip([], [f"link del {spec.host_interface}"])
    except LabError:
        if _interface(spec).exists():  # otherwise the kernel has removed it meanwhile
            raise


def _interface(spec: ClusterSpec) -> Path:
    return Path("/sys/class/net") / spec.host_interface


def mac(address: str) -> str:
    """Return a MAC address derived from the IP address.

    Without a fixed address, a bridge changes its MAC address with every port, and a node with every boot. Neighbours
    would then use the stale address for up to a minute.
    """
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def _routes(nodes: Sequence[NodeSpec]) -> list[str]:
    return [f"route add {node.pods} via {node.address}" for node in nodes]


def _wired(machine: Machine) -> Path:
    """Return the file that records that a machine was connected since its start, and with which bridge."""
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
        raise LabError(f"ip timed out after {LIMIT_SECONDS:.0f} s at {commands[0]!r}.") from None
    if done.returncode != 0:
        raise LabError(f"Setting up the cluster's network failed: {' '.join(done.stderr.split())}")
