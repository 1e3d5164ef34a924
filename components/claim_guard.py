"""Guard of a stack that changes from a volume to a bucket: it rejects the change while the volume would be deleted.

The engine deletes the claim at the end of such an update, with all its images, unless its state says that the claim is
retained. The claim has an annotation if it is (docs/adr/0040-a-bucket-instead-of-a-volume.md).
"""

import asyncio

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.errors import KubeRegistryError
from kube_registry.registry.preconditions import has_claim_to_lose

from .cluster import Cluster
from .errors import ClaimLostError
from .volume_guard import PREVIEW_SECONDS


def no_claim_lost(cluster: Cluster, namespace: kubernetes.core.v1.Namespace) -> pulumi.Output[str]:
    """Return the registry's namespace, or fail if the update would delete the claim of the stack.

    Resources that depend on this output are then not registered. A preview checks this, too, if the cluster responds.

    Args:
        cluster: the cluster, with the settings of the registry.
        namespace: the registry's namespace.
    """
    live = not pulumi.runtime.is_dry_run()

    async def prove(name: str) -> str:
        if not live and cluster.is_later:
            return name  # the cluster may not exist yet
        try:
            async with asyncio.timeout(None if live else PREVIEW_SECONDS):
                address = await cluster.address()
                is_lost = await has_claim_to_lose(address)
        except (KubeRegistryError, TimeoutError) as error:
            if live:
                raise pulumi.RunError(str(error)) from error
            return name
        if is_lost:
            raise pulumi.RunError(str(ClaimLostError(where=address.where)))
        return name

    proven: pulumi.Output[str] = namespace.metadata.name.apply(prove)
    return proven
