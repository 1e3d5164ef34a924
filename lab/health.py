"""Check the health of a cluster."""

from datetime import datetime
from typing import Any

from lab import control_plane, kube_api, network, nodes
from lab.roster import roster
from lab.spec import ClusterSpec, NodeSpec


def trouble(spec: ClusterSpec) -> str | None:
    """Return the first problem of a cluster, or None if it is ready for use."""
    return _not_running(spec) or _unready(spec)


def count_ready(spec: ClusterSpec) -> int:
    """Return how many of a cluster's nodes are Ready; 0 if the API server does not respond."""
    known = _known_nodes(spec)
    return sum(_is_ready(spec, node, known) for node in spec.nodes)


def _not_running(spec: ClusterSpec) -> str | None:
    bridge = control_plane.machine_of(spec)
    for machine, commands in roster(spec).items():
        if not network.is_wired(machine, bridge):
            return f"{machine.name} does not run"
        for name in commands:
            if not machine.runs(name):
                return f"{name} on {machine.name} does not run"
    return None


def is_ready(spec: ClusterSpec, node: NodeSpec) -> bool:
    """Return whether the current kubelet reports a node as Ready."""
    return _is_ready(spec, node, _known_nodes(spec))


def is_ready_since(spec: ClusterSpec, name: str, since: float) -> bool:
    """Return whether a kubelet that was started at `since`, in seconds since 1970, reports a node as Ready."""
    return _reports_ready(_known_nodes(spec).get(name), since)


def has_service_account(spec: ClusterSpec) -> bool:
    """Return whether the namespace default has its service account, which pods require."""
    return bool(kube_api.get(spec, "/api/v1/namespaces/default/serviceaccounts/default"))


def _unready(spec: ClusterSpec) -> str | None:
    if not kube_api.is_ready(spec):
        return "the API server is not ready"
    known = _known_nodes(spec)
    for node in spec.nodes:
        if not _is_ready(spec, node, known):
            return f"{node.name} is not Ready"
        if not nodes.has_service_rules(node):
            return f"kube-proxy on {node.name} has no service rules"
    return None if has_service_account(spec) else "the namespace default has no service account"


def _known_nodes(spec: ClusterSpec) -> dict[str, dict[str, Any]]:
    """Return the Ready condition of each registered node."""
    answer = kube_api.get(spec, "/api/v1/nodes") or {"items": []}
    return {
        node["metadata"]["name"]: condition
        for node in answer["items"]
        for condition in node["status"].get("conditions", [])
        if condition["type"] == "Ready"
    }


def _is_ready(spec: ClusterSpec, node: NodeSpec, known: dict[str, dict[str, Any]]) -> bool:
    """Return whether the current kubelet reports Ready; the condition of an earlier one stays for up to a minute."""
    kubelet = nodes.machine_of(spec, node).process(nodes.KUBELET)
    return kubelet is not None and _reports_ready(known.get(node.name), kubelet.since)


def _reports_ready(condition: dict[str, Any] | None, since: float) -> bool:
    if not condition or condition["status"] != "True":
        return False
    reported = datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp()
    return reported >= int(since)  # Kubernetes truncates times to whole seconds
