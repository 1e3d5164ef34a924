"""What runs where in a cluster: its machines, and on each its processes with their arguments."""

from lab import control_plane, nodes
from lab.machines import Machine
from lab.spec import ClusterSpec

Roster = dict[Machine, dict[str, list[str]]]


def roster(spec: ClusterSpec) -> Roster:
    """The machines of a cluster, the control plane's first, each with its processes in the order of their start."""
    return {
        control_plane.machine_of(spec): control_plane.commands(spec),
        **{nodes.machine_of(spec, node): nodes.commands(node) for node in spec.nodes},
    }
