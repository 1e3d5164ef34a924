"""Read pods and their events: which pod to forward to, and why one is not running, in Kubernetes' own words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.names import REGISTRY, selector
from kube_registry.text import last_words, one_line

Object = Mapping[str, Any]
"""An object of the Kubernetes API as JSON."""

STARTING = ("ContainerCreating", "PodInitializing")
"""Reasons of a waiting container that are no problem: it is starting."""

_PROGRESS = ("Scheduled", "Pulling", "Pulled", "Created", "Started")
"""Reasons of a pod's events that show that what failed before has succeeded (kubernetes pkg/kubelet/events)."""

_CAUSE = re.compile(r'^panic: .*$|s3aws: (?:[^"\\\n]|\\.)*', re.MULTILINE)
"""The part of a registry's log that matters: a panic without its stack, or what a bucket's server has answered."""


async def list_pods(kube: KubeClient, labels: str, *, namespace: str = "") -> list[Object]:
    """Return the pods that match a label selector, in a namespace or, if it is empty, in the registry's."""
    return list((await kube.get(kube.path("pods", namespace=namespace), labelSelector=labels))["items"])


async def registry_pods(kube: KubeClient) -> list[Object]:
    """Return the registry's pods."""
    return await list_pods(kube, selector(REGISTRY))


async def warning(kube: KubeClient, item: Object) -> str | None:
    """Return the newest warning event of an object; None without one, or without the permission to list events."""
    path, uid = kube.path("events", namespace=item["metadata"]["namespace"]), item["metadata"]["uid"]
    try:
        events = await kube.get(path, fieldSelector=f"involvedObject.uid={uid}")
    except RefusedError:
        return None
    return event_trouble(events["items"])


def choose(pods: Sequence[Object]) -> str | None:
    """Return the name of a pod that is Ready and not terminating; None if there is none.

    A terminating pod stays Ready until its containers have exited, so Ready alone is not enough.
    """
    return next((pod["metadata"]["name"] for pod in pods if is_ready(pod) and not _terminating(pod)), None)


def is_lost(name: str, pods: Sequence[Object]) -> bool:
    """Return whether a pod is lost: deleted, terminating, or on a node that stopped reporting.

    A failing probe makes the container not ready, and with it the pod. When a node stops reporting, only the pod is set
    to not ready, because no kubelet updates its containers (kubernetes pkg/controller/util/node, MarkPodsNotReady).

    Args:
        name: name of the pod.
        pods: the pods that the API server lists.
    """
    for pod in pods:
        if pod["metadata"]["name"] == name:
            containers_ready = all(each["ready"] for each in pod["status"].get("containerStatuses", []))
            return _terminating(pod) or (containers_ready and not is_ready(pod))
    return True


def explain(pods: Sequence[Object]) -> str:
    """Return why the registry is not ready, according to its pods."""
    staying = [pod for pod in pods if not _terminating(pod)]
    if not staying:
        return "its pod is terminating" if pods else "it has no pod yet"
    late = min(staying, key=is_ready)  # during an update, a pod that works is not the reason
    return trouble(staying) or f"pod {late['metadata']['name']} is {late['status'].get('phase', 'new')}"


def trouble(pods: Sequence[Object]) -> str | None:
    """Return the first problem of these pods; None if they run or are starting."""
    return next((problem for pod in pods for problem in _troubles(pod)), None)


def rollout_trouble(deployment: Object) -> str | None:
    """Return why a Deployment cannot create its pods, such as a quota or an admission webhook; None if it can."""
    for condition in deployment["status"].get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"{condition['reason']}: {condition['message']}"
    return None


def event_trouble(events: Sequence[Object]) -> str | None:
    """Return the newest warning among the events of one object; None if there is none, or its pod got further since."""
    warnings = [event for event in events if event["type"] == "Warning"]
    if not warnings:
        return None
    newest = max(warnings, key=_time_of)
    if any(event["reason"] in _PROGRESS and _time_of(event) >= _time_of(newest) for event in events):
        return None
    return f"{newest['reason']}: {last_words(newest['message'])}"


def is_ready(item: Object) -> bool:
    """Return whether a pod or node is Ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in item["status"].get("conditions", []))


def is_initializing(pod: Object) -> bool:
    """Return whether an init container of a pod is running."""
    return any("running" in each["state"] for each in pod["status"].get("initContainerStatuses", []))


def _troubles(pod: Object) -> Iterator[str]:
    status, name = pod["status"], pod["metadata"]["name"]
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"pod {name} is not scheduled: {last_words(condition.get('message', condition['reason']))}"
    # An init container that has failed once is a problem, even while it runs again: it makes the pod wait.
    found = [(each, _ended(each)) for each in status.get("initContainerStatuses", [])]
    found += [(each, {}) for each in status.get("containerStatuses", [])]
    for container, failed in found:
        waiting = container["state"].get("waiting", {})
        reason = waiting.get("reason", "ContainerCreating")
        if failed.get("exitCode") and reason in STARTING:
            reason = failed.get("reason", "Error")
        if reason not in STARTING:
            words = _ended(container).get("message") or waiting.get("message") or "no message"
            cause = _CAUSE.search(words)
            ended_with = one_line(cause[0]) if cause else last_words(words)
            yield f"container {container['name']} of pod {name}: {reason}: {ended_with}"


def _ended(container: Object) -> Object:
    """Return how a container has ended, now or before it was started again; empty if it has not."""
    found: Object = container["state"].get("terminated") or container.get("lastState", {}).get("terminated", {})
    return found


def _time_of(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _terminating(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
