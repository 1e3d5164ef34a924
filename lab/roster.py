"""The machines of a cluster, with the processes that run on each."""

from lab import control_plane, nodes
from lab.machines import Machine
from lab.spec import ClusterSpec

Roster = dict[Machine, dict[str, list[str]]]


def roster(spec: ClusterSpec) -> Roster:
    """Return the machines of a cluster, the control plane first, each with its processes in start order."""
    return {
        control_plane.machine_of(spec): control_plane.commands(spec),
        **{nodes.machine_of(spec, node): nodes.commands(node) for node in spec.nodes},
    }
