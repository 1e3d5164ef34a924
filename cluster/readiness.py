"""Wait until the registry runs as it was last described, or say what keeps it from it."""

from cluster.kube import KubeClient
from cluster.pods import explain, registry_pods
from cluster.polling import poll
from stack.errors import NotReadyError
from stack.names import REGISTRY

_PAUSE = 0.25


async def wait_ready(kube: KubeClient, *, seconds: float) -> None:
    """Return once the registry's Deployment is rolled out in its newest form.

    Raises:
        NotReadyError: it was not after `seconds`; with the reason that its pod gives.
    """
    path = f"/apis/apps/v1/namespaces/{kube.where.namespace}/deployments/{REGISTRY}"

    async def rolled_out() -> bool | None:
        return _is_rolled_out(await kube.get(path)) or None

    if not await poll(rolled_out, seconds=seconds, pause=_PAUSE):
        raise NotReadyError(where=kube.where, seconds=seconds, reason=explain(await registry_pods(kube)))


def _is_rolled_out(deployment: dict[str, dict[str, int]]) -> bool:
    """The controller has seen the newest form, no old pod is left and every new one is available."""
    status = deployment["status"]
    return (
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("replicas", 0)
        == status.get("updatedReplicas", 0)
        == status.get("availableReplicas", 0)
        == deployment["spec"]["replicas"]
    )
