"""Pods and claims read: which pod to forward to, and what keeps one from running, in Kubernetes' own words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.names import REGISTRY, selector
from kube_registry.text import last_words

Object = Mapping[str, Any]
"""An object of the Kubernetes API as JSON."""

ON_ITS_WAY = ("ContainerCreating", "PodInitializing")
"""Reasons of a waiting container that say nothing but "not yet"."""


async def list_pods(kube: KubeClient, labels: str, *, namespace: str = "") -> list[Object]:
    """Return the pods with these labels, a label selector; those of the registry's namespace if it names no other."""
    return list((await kube.get(kube.path("pods", namespace=namespace), labelSelector=labels))["items"])


async def registry_pods(kube: KubeClient) -> list[Object]:
    """Return the registry's pods."""
    return await list_pods(kube, selector(REGISTRY))


async def warning(kube: KubeClient, of: Object) -> str | None:
    """The newest warning about an object; None where events may not be read, which is no reason to fail."""
    path, uid = kube.path("events", namespace=of["metadata"]["namespace"]), of["metadata"]["uid"]
    try:
        events = await kube.get(path, fieldSelector=f"involvedObject.uid={uid}")
    except RefusedError:
        return None
    return event_trouble(events["items"])


def choose(pods: Sequence[Object]) -> str | None:
    """Name of a pod that can take a connection: Ready and not on its way out; None if there is none.

    A terminating pod stays Ready until its containers have ended, so Ready alone is not enough.
    """
    return next((pod["metadata"]["name"] for pod in pods if is_ready(pod) and not _leaving(pod)), None)


def is_lost(name: str, pods: Sequence[Object]) -> bool:
    """Whether nothing will come of a pod any more: it is gone, on its way out, or its node speaks for it no longer.

    A probe that fails for a while makes a container not ready, and the pod with it; where a node is lost, the pod alone
    is set so, for nobody is there to say it of its containers (kubernetes pkg/controller/util/node, MarkPodsNotReady).

    Args:
        name: the pod's.
        pods: what the API server lists.
    """
    for pod in pods:
        if pod["metadata"]["name"] == name:
            containers_ready = all(each["ready"] for each in pod["status"].get("containerStatuses", []))
            return _leaving(pod) or (containers_ready and not is_ready(pod))
    return True


def explain(pods: Sequence[Object]) -> str:
    """What keeps the registry from being ready, as far as its pods can tell."""
    staying = [pod for pod in pods if not _leaving(pod)]
    if not staying:
        return "its pod is on its way out" if pods else "it has no pod yet"
    return trouble(staying) or f"pod {staying[0]['metadata']['name']} is {staying[0]['status'].get('phase', 'new')}"


def trouble(pods: Sequence[Object]) -> str | None:
    """What is wrong with these pods beyond "not yet"; None if nothing is."""
    return next((problem for pod in pods for problem in _troubles(pod)), None)


def rollout_trouble(deployment: Object) -> str | None:
    """Why a Deployment cannot even make its pods (quota, admission), or None."""
    for condition in deployment["status"].get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"{condition['reason']}: {condition['message']}"
    return None


def event_trouble(events: Sequence[Object]) -> str | None:
    """The newest warning among the events of one object, or None."""
    warnings = [event for event in events if event["type"] == "Warning"]
    if not warnings:
        return None
    newest = max(warnings, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return f"{newest['reason']}: {last_words(newest['message'])}"


def is_ready(of: Object) -> bool:
    """Whether a pod, or a node, is Ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in of["status"].get("conditions", []))


def _troubles(pod: Object) -> Iterator[str]:
    status, name = pod["status"], pod["metadata"]["name"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"pod {name} has no node: {last_words(condition.get('message', condition['reason']))}"
    for container in status.get("containerStatuses", []):
        waiting = container["state"].get("waiting", {})
        reason = waiting.get("reason", "ContainerCreating")
        if reason not in ON_ITS_WAY:
            ended = container.get("lastState", {}).get("terminated", {})
            words = ended.get("message") or waiting.get("message") or "no message"
            yield f"container {container['name']} of pod {name}: {reason}: {last_words(words)}"


def _leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
