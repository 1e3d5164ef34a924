"""Pods read: which one to forward to, and what keeps one from running, in its own words."""

from typing import Any

from cluster.kube import KubeClient
from stack.names import selector


async def registry_pods(kube: KubeClient) -> list[dict[str, Any]]:
    """The registry's pods as the API server lists them."""
    path = f"/api/v1/namespaces/{kube.where.namespace}/pods"
    return list((await kube.get(path, labelSelector=selector("registry")))["items"])


def choose(pods: list[dict[str, Any]]) -> str | None:
    """Name of a pod that can take a connection: Ready and not on its way out; None if there is none.

    A terminating pod stays Ready until its containers have ended, so Ready alone is not enough.
    """
    names = [pod["metadata"]["name"] for pod in pods if _ready(pod) and "deletionTimestamp" not in pod["metadata"]]
    return names[0] if names else None


def explain(pods: list[dict[str, Any]]) -> str:
    """What keeps the newest of these pods from being ready, in the words of its status."""
    if not pods:
        return "it has no pod yet"
    pod = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    status = pod["status"]
    for container in status.get("containerStatuses", []):
        waiting = container["state"].get("waiting", {})
        if waiting.get("message"):
            return f"container {container['name']} waits: {waiting['reason']}: {waiting['message']}"
    for condition in status.get("conditions", []):
        if condition["status"] != "True" and condition.get("message"):
            return f"pod {pod['metadata']['name']}: {condition['reason']}: {condition['message']}"
    return f"pod {pod['metadata']['name']} is {status.get('phase', 'unknown')}"


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
