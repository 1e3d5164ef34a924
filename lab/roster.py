"""What runs where in a cluster: its machines, and on each its processes with their arguments."""

from lab import control_plane, nodes
from lab.machines import Machine
from lab.plan import Plan

Roster = dict[Machine, dict[str, list[str]]]


def roster(plan: Plan) -> Roster:
    """The machines of a cluster, the control plane's first, each with its processes in the order of their start."""
    return {
        control_plane.machine_of(plan): control_plane.commands(plan),
        **{nodes.machine_of(plan, node): nodes.commands(node) for node in plan.nodes},
    }
