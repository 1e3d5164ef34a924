"""Wait until the registry runs as it was last described, or say what keeps it from it."""

import time
from dataclasses import dataclass, field
from typing import Any

from cluster.kube import KubeClient
from cluster.pods import Object, event_trouble, explain, registry_pods, rollout_trouble, trouble
from cluster.polling import poll
from stack.errors import NotReadyError, RefusedError
from stack.names import REGISTRY

PATIENCE_SECONDS = 8.0
"""How long the same trouble is watched before it counts: a claim is unbound for a moment, a pull fails once."""

_PAUSE = 0.25


async def wait_ready(kube: KubeClient, *, seconds: float) -> None:
    """Return once the registry's Deployment is rolled out in its newest form.

    Raises:
        NotReadyError: it was not after `seconds`, or something has kept it from it for PATIENCE_SECONDS; with the
            reason that its claim, pod or container gives.
    """
    watch = _Watch(kube)
    if not await poll(watch.rolled_out, seconds=seconds, pause=_PAUSE):
        raise NotReadyError(where=kube.where, seconds=watch.elapsed(), reason=explain(await registry_pods(kube)))


@dataclass
class _Watch:
    """One wait: since when it goes on, and since when the same thing is wrong."""

    kube: KubeClient
    started: float = field(default_factory=time.monotonic)
    trouble_since: float | None = None

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    async def rolled_out(self) -> bool | None:
        """True once it is; None while it is not yet.

        Raises:
            NotReadyError: it will not be without help.
        """
        deployment = await self._get("/apis/apps/v1", f"deployments/{REGISTRY}")
        if _is_rolled_out(deployment):
            return True
        found = await self._trouble(deployment)
        if found is None:
            self.trouble_since = None
        elif self.trouble_since is None:
            self.trouble_since = time.monotonic()
        elif time.monotonic() - self.trouble_since > PATIENCE_SECONDS:
            raise NotReadyError(where=self.kube.where, seconds=self.elapsed(), reason=found)
        return None

    async def _trouble(self, deployment: Object) -> str | None:
        """What is wrong, asked where the cause lies first: claim, Deployment, pod, and what the node says of it."""
        claim = await self._get("/api/v1", f"persistentvolumeclaims/{REGISTRY}")
        if claim["status"].get("phase") == "Pending":
            reason = await self._event(claim)
            if reason:
                return f"its claim {REGISTRY} has no volume: {reason}"
        pods = await registry_pods(self.kube)
        found = rollout_trouble(deployment) or trouble(pods)
        if found is None and pods:
            found = await self._event(pods[0])
        return found

    async def _event(self, of: Object) -> str | None:
        """The newest warning about an object; None where events may not be read, which is no reason to fail."""
        try:
            events = await self._get("/api/v1", "events", fieldSelector=f"involvedObject.uid={of['metadata']['uid']}")
        except RefusedError:
            return None
        return event_trouble(events["items"])

    async def _get(self, group: str, what: str, **query: str) -> dict[str, Any]:
        return await self.kube.get(f"{group}/namespaces/{self.kube.where.namespace}/{what}", **query)


def _is_rolled_out(deployment: Object) -> bool:
    """The controller has seen the newest form, no old pod is left and every new one is available."""
    status = deployment["status"]
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("replicas", 0)
        == status.get("updatedReplicas", 0)
        == status.get("availableReplicas", 0)
        == deployment["spec"]["replicas"]
    )
