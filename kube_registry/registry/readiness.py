"""Wait until the registry or its node proxy is ready, and report the reason if it is not.

Every update checks this again, because an existing resource does not mean that its pods run.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from kube_registry.concurrency import poll
from kube_registry.errors import Where
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import ForbiddenError, RefusedError
from kube_registry.kube.nodes import pulling_nodes
from kube_registry.kube.pods import (
    Object,
    choose,
    explain,
    is_initializing,
    is_ready,
    list_pods,
    rollout_trouble,
    trouble,
    warning,
)
from kube_registry.names import NODE_PROXY, REGISTRY, selector
from kube_registry.registry.bucket import bucket_error
from kube_registry.registry.errors import NotReadyError
from kube_registry.registry.readiness_fixes import GONE, NO_CLASS
from kube_registry.text import first_of

WRONG_SECONDS = 8.0
"""How long a problem must last before it is reported: a claim is unbound for a moment, a pull fails once."""

WARNED_SECONDS = 30.0
"""The same for a problem that only an event reports: an event is about one attempt, and stays after the next succeeds.

A node retries after 10 to 15 seconds (kubernetes pkg/kubelet, backOffPeriod and its jitter), and then pulls and starts.
The first attempt of a new pod may fail without a lasting cause: the API server lets a node read a claim only once it
has processed the pod's assignment to the node.
"""

_PAUSE = 0.25

_FORM = "deprecated.daemonset.template.generation"
_FORM_OF_POD = "pod-template-generation"
"""Annotation of a DaemonSet and label of its pods with the template's generation (kubernetes
pkg/controller/daemon/util)."""

_MOST_NAMED = 3


@dataclass(frozen=True)
class Rollout:
    """Progress of a rollout; READY is its end.

    Args:
        words: why it is not ready.
        wrong: whether that is a problem, rather than normal progress.
        patience: how many seconds the problem may last before it is reported.
    """

    words: str
    wrong: bool = False
    patience: float = WRONG_SECONDS


READY = Rollout("nothing")


async def wait_ready(kube: KubeClient, *, seconds: float, name: str = REGISTRY, what: str = "registry") -> None:
    """Wait until the newest generation of a Deployment is rolled out and a pod is Ready.

    Args:
        kube: client, with the namespace of the Deployment.
        seconds: how long to wait.
        name: name of the Deployment and of its claim, and the component label of its pods.
        what: what the Deployment runs, for errors.

    Raises:
        NotReadyError: it was not ready after `seconds`, or a problem lasted for too long; has the reason that its
            claim, pod or container reports.
        BucketError: the check of a new pod has found that it cannot use the bucket.
    """
    kube = kube.until(time.monotonic() + seconds)

    async def look() -> Rollout:
        deployment = await kube.get(kube.path("deployments", name, group="apps/v1"))
        pods = await list_pods(kube, selector(name))  # the Deployment's status may be stale
        if _is_rolled_out(deployment) and choose(pods):
            return READY
        if deployment["spec"]["replicas"] == 0:
            return Rollout("its Deployment is scaled to 0", wrong=True)
        if has_claim(deployment):
            claim = await kube.get(kube.path("persistentvolumeclaims", name))
            if claim["status"].get("phase") == "Pending" and (reason := await _unbound(kube, claim)):
                return Rollout(f"its claim {name} has no volume: {reason}", wrong=True)
        found = rollout_trouble(deployment) or trouble(pods)
        late = [pod for pod in pods if not is_ready(pod)] or pods
        asked = [pod for pod in late if not is_initializing(pod)]  # its warnings are old ones
        if found is None and asked and (warned := await warning(kube, asked[0])):  # reported by the node
            return Rollout(warned, wrong=True, patience=WARNED_SECONDS)
        return Rollout(found or explain(pods), wrong=found is not None)

    try:
        await _wait(look, where=kube.where, what=what, seconds=seconds)
    except NotReadyError as error:
        if of_bucket := await bucket_error(kube, error.reason):
            raise of_bucket from error
        raise


async def wait_node_proxy_ready(kube: KubeClient, namespace: str, *, seconds: float, what: str = "node proxy") -> None:
    """Wait until each node that pulls has a ready node proxy of its DaemonSet's newest generation.

    Nodes that are not Ready are skipped, because they could block an update forever.

    Args:
        kube: client of the registry's cluster.
        namespace: namespace of the node proxy.
        seconds: how long to wait.
        what: which node proxy it is, for errors.

    Raises:
        NotReadyError: a node had none after `seconds`, or a problem lasted for too long.
    """
    kube = kube.until(time.monotonic() + seconds)

    async def look() -> Rollout:
        daemon_set = await kube.get(kube.path("daemonsets", NODE_PROXY, group="apps/v1", namespace=namespace))
        listed = await list_pods(kube, selector(NODE_PROXY), namespace=namespace)
        pods = [pod for pod in listed if _is_newest(pod, daemon_set)]
        nodes = {node.name for node in await pulling_nodes(kube)}
        missing = sorted(nodes - {pod["spec"].get("nodeName") for pod in pods if is_ready(pod)})
        if not missing:
            return READY
        found = trouble(pods) if pods else await warning(kube, daemon_set)
        place = f"no node proxy listens on {first_of(missing, _MOST_NAMED)}"
        return Rollout(f"{place}: {found}" if found else place, wrong=found is not None)

    await _wait(look, where=replace(kube.where, namespace=namespace), what=what, seconds=seconds)


async def has_node_proxy(kube: KubeClient, namespace: str) -> bool:
    """Return whether a node proxy's DaemonSet exists; False without the permission to see it.

    docs/rbac.md grants that permission only where there is a node proxy.

    Args:
        kube: client of the registry's cluster.
        namespace: namespace of the node proxy.
    """
    try:
        return await kube.find(kube.path("daemonsets", NODE_PROXY, group="apps/v1", namespace=namespace)) is not None
    except ForbiddenError:
        return False


def has_claim(deployment: Object) -> bool:
    """Return whether the pods of a Deployment have a volume."""
    return any("persistentVolumeClaim" in volume for volume in deployment["spec"]["template"]["spec"]["volumes"])


async def _unbound(kube: KubeClient, claim: Object) -> str | None:
    """Return why a claim is not bound; None if it may be in a moment."""
    return await warning(kube, claim) if claim["spec"].get("storageClassName") else NO_CLASS


def _is_newest(pod: Object, daemon_set: Object) -> bool:
    """Return whether a pod has the newest template of its DaemonSet.

    A change that is reverted has a new generation, but pods with the same template stay, with the old generation. Then
    only the DaemonSet's status shows that they are up to date (kubernetes pkg/controller/daemon/util, IsPodUpdated).
    """
    if pod["metadata"]["labels"].get(_FORM_OF_POD) == daemon_set["metadata"]["annotations"][_FORM]:
        return True
    status = daemon_set["status"]
    is_observed = status.get("observedGeneration", 0) >= daemon_set["metadata"]["generation"]
    return bool(is_observed and status.get("updatedNumberScheduled", 0) >= status["currentNumberScheduled"])


def _is_rolled_out(deployment: Object) -> bool:
    """Return whether the newest generation is rolled out: no old pod is left, and every new one is available."""
    status = deployment["status"]
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("replicas", 0)
        == status.get("updatedReplicas", 0)
        == status.get("availableReplicas", 0)
        == deployment["spec"]["replicas"]
        > 0
    )


async def _wait(look: Callable[[], Awaitable[Rollout]], *, where: Where, what: str, seconds: float) -> None:
    """Wait for READY.

    Args:
        look: returns the progress.
        where: the place, for errors.
        what: what has to become ready, for errors.
        seconds: how long to wait.

    Raises:
        NotReadyError: it was not READY after `seconds`, or a problem lasted for too long.
    """
    started = fine = time.monotonic()
    progress = READY

    async def done() -> bool | None:
        nonlocal fine, progress
        try:
            progress = await look()
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            progress = Rollout(f"{GONE}: {error.reason}", wrong=True, patience=0)
        now = time.monotonic()
        if not progress.wrong:
            fine = now
        return progress is READY or now - fine > progress.patience or None

    await poll(done, seconds=seconds, pause=_PAUSE)
    if progress is not READY:
        raise NotReadyError(where=where, what=what, seconds=time.monotonic() - started, reason=progress.words)
