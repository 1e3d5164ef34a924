"""Waiting until the registry runs, with the reason in words where it does not.

Asked anew on every update, because a resource that exists says nothing about the pod behind it.
"""

import time
from collections.abc import Sequence
from typing import Any

from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import Object, choose, explain, registry_pods, rollout_trouble, trouble, warning
from kube_registry.names import REGISTRY
from kube_registry.registry.wait_ready import READY, WARNING_PATIENCE_SECONDS, Standing, watch


async def wait_ready(kube: KubeClient, *, seconds: float) -> None:
    """Return once the registry's Deployment is rolled out in its newest form and a pod of it is Ready.

    Raises:
        NotReadyError: it was not after `seconds`, or something has kept it from it for longer than is usual; with the
            reason that its claim, pod or container gives.
    """
    kube = kube.until(time.monotonic() + seconds)

    async def look() -> Standing:
        deployment = await _get(kube, "/apis/apps/v1", f"deployments/{REGISTRY}")
        pods = await registry_pods(kube)  # the Deployment's status is as old as its controller's last look
        return READY if _is_rolled_out(deployment) and choose(pods) else await _standing(kube, deployment, pods)

    await watch(look, where=kube.where, what="registry", seconds=seconds)


async def _standing(kube: KubeClient, deployment: Object, pods: Sequence[Object]) -> Standing:
    """What is wrong, asked where the cause lies first: claim, Deployment, pod, and what the node says of it."""
    if deployment["spec"]["replicas"] == 0:
        return Standing("its Deployment is scaled to 0", wrong=True)
    claim = await _get(kube, "/api/v1", f"persistentvolumeclaims/{REGISTRY}")
    if claim["status"].get("phase") == "Pending":
        reason = await warning(kube, claim)
        if reason:
            return Standing(f"its claim {REGISTRY} has no volume: {reason}", wrong=True)
    found = rollout_trouble(deployment) or trouble(pods)
    if found is None and pods and (warned := await warning(kube, pods[0])):
        return Standing(warned, wrong=True, patience=WARNING_PATIENCE_SECONDS)
    return Standing(found or explain(pods), wrong=found is not None)


async def _get(kube: KubeClient, group: str, what: str) -> dict[str, Any]:
    return await kube.get(f"{group}/namespaces/{kube.where.namespace}/{what}")


def _is_rolled_out(deployment: Object) -> bool:
    """The controller has seen the newest form, no old pod is left and every new one is available."""
    status = deployment["status"]
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("replicas", 0)
        == status.get("updatedReplicas", 0)
        == status.get("availableReplicas", 0)
        == deployment["spec"]["replicas"]
        > 0
    )
