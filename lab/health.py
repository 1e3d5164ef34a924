"""Whether a cluster is well, and if not, the first thing that is wrong with it, in words."""

from datetime import datetime
from typing import Any

from lab import control_plane, kube_api, network, nodes
from lab.plan import NodePlan, Plan
from lab.roster import roster


def trouble(plan: Plan) -> str | None:
    """The first thing that is wrong with a cluster; None when it can be worked with."""
    return _not_running(plan) or _unready(plan)


def count_ready(plan: Plan) -> int:
    """How many of a cluster's nodes are Ready; 0 where the API server does not answer."""
    known = _known_nodes(plan)
    return sum(_is_ready(plan, node, known) for node in plan.nodes)


def _not_running(plan: Plan) -> str | None:
    bridge = control_plane.machine_of(plan)
    for machine, commands in roster(plan).items():
        if not network.is_wired(machine, bridge):
            return f"{machine.name} does not run"
        for name in commands:
            if not machine.runs(name):
                return f"{name} on {machine.name} does not run"
    return None


def is_ready(plan: Plan, node: NodePlan) -> bool:
    """Whether a node is Ready, in the words of the kubelet that runs now."""
    return _is_ready(plan, node, _known_nodes(plan))


def has_service_account(plan: Plan) -> bool:
    """Whether the namespace default has the account without which it takes no pod."""
    return bool(kube_api.get(plan, "/api/v1/namespaces/default/serviceaccounts/default"))


def _unready(plan: Plan) -> str | None:
    if not kube_api.is_ready(plan):
        return "the API server is not ready"
    known = _known_nodes(plan)
    for node in plan.nodes:
        if not _is_ready(plan, node, known):
            return f"{node.name} is not Ready"
        if not nodes.has_service_rules(node):
            return f"kube-proxy on {node.name} does not know the services"
    return None if has_service_account(plan) else "the namespace default has no service account"


def _known_nodes(plan: Plan) -> dict[str, dict[str, Any]]:
    """The Ready condition of each node that the API server knows."""
    answer = kube_api.get(plan, "/api/v1/nodes") or {"items": []}
    return {
        node["metadata"]["name"]: condition
        for node in answer["items"]
        for condition in node["status"].get("conditions", [])
        if condition["type"] == "Ready"
    }


def _is_ready(plan: Plan, node: NodePlan, known: dict[str, dict[str, Any]]) -> bool:
    """Whether the kubelet that runs now says so; what an earlier one said stays there for most of a minute."""
    condition = known.get(node.name)
    kubelet = nodes.machine_of(plan, node).process(nodes.KUBELET)
    if not condition or condition["status"] != "True" or not kubelet:
        return False
    said = datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp()
    return said >= int(kubelet.since)  # Kubernetes cuts its times to whole seconds
