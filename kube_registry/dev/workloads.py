"""The workloads of a stack that run its images, and whether their pods run the new ones."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.kube.pods import Object, is_ready, list_pods, trouble
from kube_registry.spec.endpoints import parse_reference

PODS_SECONDS = 60.0
"""How long the pods may take to run a new image after the update, which usually has waited for them."""

STABLE_SECONDS = 1.0
"""How long all pods have to be ready."""

_PAUSE = 0.1

_KINDS = {
    "kubernetes:apps/v1:Deployment": "deployments",
    "kubernetes:apps/v1:DaemonSet": "daemonsets",
    "kubernetes:apps/v1:StatefulSet": "statefulsets",
}


@dataclass(frozen=True)
class Workload:
    """A workload of the stack.

    Args:
        kind: plural name of its kind.
        namespace: its namespace.
        name: its name.
        digests: digests of the new images that its pods run.
    """

    kind: str
    namespace: str
    name: str
    digests: frozenset[str]


@dataclass(frozen=True)
class Pods:
    """The pods that run the new images.

    Args:
        names: namespace and name of each.
        missing: why not all do; None if they do.
        restarts: how often their containers have been started again.
        seen: when they were read, of `time.monotonic`.
    """

    names: tuple[tuple[str, str], ...]
    missing: str | None = None
    restarts: int = 0
    seen: float = field(default_factory=time.monotonic, compare=False)


def workloads_with(references: Iterable[str], resources: Iterable[Mapping[str, Any]]) -> list[Workload]:
    """Return the workloads of a stack that run some images.

    Args:
        references: pull references.
        resources: the resources of the stack, as in its state, or before the end of their steps.
    """
    digests = {str(parse_reference(text).digest) for text in references}
    found = []
    for resource in resources:
        inputs = resource.get("inputs") or {}
        used = digests & set(_digests(inputs.get("spec") or {}))
        if used and resource["type"] in _KINDS:
            metadata = inputs.get("metadata") or {}  # has no ID before the end of its creation
            known = resource.get("id") or f"{metadata.get('namespace') or ''}/{metadata.get('name')}"
            namespace, _, name = str(known).rpartition("/")
            found.append(Workload(_KINDS[resource["type"]], namespace or "default", name, frozenset(used)))
    return found


async def wait_for_pods(kube: KubeClient, workloads: Iterable[Workload]) -> Pods:
    """Wait until all pods of some workloads run their new images and are ready.

    Args:
        kube: client of their cluster.
        workloads: the workloads.

    Raises:
        ClusterError: the cluster cannot be reached, or does not let them be read.
    """
    chosen = tuple(workloads)

    async def read() -> Pods:
        found = [await _read_pods(kube, workload) for workload in chosen]
        names = tuple(name for pods in found for name in pods.names)
        missing = next((pods.missing for pods in found if pods.missing), None)
        return Pods(names, missing, sum(pods.restarts for pods in found))

    return await stable(read)


async def stable(read: Callable[[], Awaitable[Pods]]) -> Pods:
    """Return pods once none is missing, and none has changed STABLE_SECONDS later; after PODS_SECONDS, as they are.

    Pods that are complete are returned as they were first read, so that their time is that of the start.

    A container without a readiness probe is ready from its start on, even if it ends at once, as an older Kubernetes
    would not have shown.
    """
    ends = time.monotonic() + PODS_SECONDS
    pods = await read()
    while time.monotonic() < ends:
        await asyncio.sleep(_PAUSE if pods.missing else STABLE_SECONDS)
        before, pods = pods, await read()
        if pods == before and not pods.missing:
            return before
    return pods


async def pod_troubles(kube: KubeClient, workloads: Iterable[Workload]) -> list[str]:
    """Return the first problem of the pods of each workload that should run its new images, if there is one.

    Raises:
        ClusterError: the cluster cannot be reached, or does not let them be read.
    """
    found = [problem_of(await _new_pods(kube, workload)) for workload in workloads]
    return [problem for problem in found if problem]


def problem_of(pods: Sequence[Object]) -> str | None:
    """Return the first problem of some pods, or how the first container has ended that is started again and again."""
    return trouble(pods) or next((end for pod in pods for end in _ends(pod)), None)


def _ends(pod: Object) -> Iterator[str]:
    for container in pod["status"].get("containerStatuses", []):
        states = container["state"], container.get("lastState") or {}
        ended = next((state["terminated"] for state in states if "terminated" in state), None)
        if ended and not container["ready"]:
            named = f"container {container['name']} of pod {pod['metadata']['name']}"
            yield f"{named}: {ended.get('reason', 'ended')}, exit code {ended['exitCode']}"


async def read_logs(kube: KubeClient, workloads: Iterable[Workload], *, lines: int) -> list[str]:
    """Return what the pods with the new images have logged, also those that are not ready.

    Args:
        kube: client of their cluster.
        workloads: their workloads.
        lines: how many of its last lines to return of each container, after a line with its name.

    Raises:
        ClusterError: the cluster cannot be reached, or does not let them be read.
    """
    printed = list[str]()
    for workload in workloads:
        for pod in await _new_pods(kube, workload):
            printed += await _read_log(kube, pod, lines)
    return printed


async def _new_pods(kube: KubeClient, workload: Workload) -> list[Object]:
    _, selected = await _read(kube, workload)
    return [pod for pod in selected if workload.digests & set(_digests(pod["spec"]))]


async def _read_log(kube: KubeClient, pod: Object, lines: int) -> list[str]:
    namespace, name, printed = pod["metadata"]["namespace"], pod["metadata"]["name"], list[str]()
    path = kube.path("pods", name, namespace=namespace)
    for container in pod["spec"]["containers"]:
        query = {"container": container["name"], "tailLines": str(lines)}
        try:
            text = await kube.send(_text, "GET", f"{path}/log", query=query)
        except RefusedError as error:  # it has not started yet, or its pod is gone
            text = str(error)
        printed += [f"{namespace}/{name} {container['name']}:", *(text.splitlines() or ["(nothing)"])]
    return printed


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def pods_of(item: Object, selected: Iterable[Object], digests: frozenset[str]) -> Pods:
    """Return the pods of a workload that run its new images.

    Args:
        item: the workload.
        selected: the pods that its selector matches.
        digests: digests of the new images.
    """
    pods = [pod for pod in selected if "deletionTimestamp" not in pod["metadata"]]
    running = [pod["metadata"] for pod in pods if _runs(pod, digests)]
    names = tuple(sorted((metadata["namespace"], metadata["name"]) for metadata in running))
    wanted, status = _wanted(item), item.get("status") or {}
    seen = status.get("observedGeneration", 0) >= item["metadata"].get("generation", 0)
    complete = seen and len(running) == wanted == len(pods)
    missing = problem_of(pods) or f"{len(running)} of {wanted} pods run the new image"
    restarts = sum(each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses", []))
    return Pods(names, None if complete else missing, restarts)


async def _read_pods(kube: KubeClient, workload: Workload) -> Pods:
    pods = pods_of(*await _read(kube, workload), workload.digests)
    named = f"{workload.kind} {workload.namespace}/{workload.name}"
    return replace(pods, missing=f"{named}: {pods.missing}" if pods.missing else None)


async def _read(kube: KubeClient, workload: Workload) -> tuple[Object, list[Object]]:
    """Return a workload, and the pods that its selector matches."""
    path = kube.path(workload.kind, workload.name, group="apps/v1", namespace=workload.namespace)
    item = await kube.get(path)
    labels = item["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return item, await list_pods(kube, selector, namespace=workload.namespace)


def _wanted(item: Object) -> int:
    if item["kind"] == "DaemonSet":
        return int(item["status"].get("desiredNumberScheduled", 0))
    return int(item["spec"].get("replicas", 1))


def _runs(pod: Object, digests: frozenset[str]) -> bool:
    """Return whether a pod is ready and runs images with these digests."""
    wanted = set(_digests(pod["spec"])) & digests
    statuses = [*pod["status"].get("containerStatuses", []), *pod["status"].get("initContainerStatuses", [])]
    ran = {each["imageID"].rpartition("@")[2] for each in statuses if each.get("imageID")}
    return bool(wanted) and wanted <= ran and is_ready(pod)


def _digests(spec: Any) -> Iterator[str]:  # noqa: ANN401 - a pod's spec, or a workload's with a pod's in it
    """Yield the digests of all images in a spec."""
    spec = (spec.get("template") or {}).get("spec") or spec if isinstance(spec, Mapping) else {}
    for key in ("containers", "initContainers"):
        for container in spec.get(key) or () if isinstance(spec, Mapping) else ():
            image = container.get("image") if isinstance(container, Mapping) else None
            if isinstance(image, str) and "@" in image:
                yield image.rpartition("@")[2]
