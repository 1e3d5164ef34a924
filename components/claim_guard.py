"""Guard of a stack that changes from a volume to a bucket: it rejects the change while the volume would be deleted.

The engine deletes the claim at the end of such an update, with all its images, unless its state says that the claim is
retained. The claim has an annotation if it is (docs/adr/0040-a-bucket-instead-of-a-volume.md).
"""

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.registry.preconditions import has_claim_to_lose

from .cluster import Cluster
from .errors import ClaimLostError
from .volume_guard import asked


def no_claim_lost(cluster: Cluster, namespace: kubernetes.core.v1.Namespace) -> pulumi.Output[str]:
    """Return the registry's namespace, or fail if the update would delete the claim of the stack.

    Resources that depend on this output are then not registered. A preview checks this, too, if the cluster responds.

    Args:
        cluster: the cluster, with the settings of the registry.
        namespace: the registry's namespace.
    """
    live = not pulumi.runtime.is_dry_run()

    async def ask() -> ClaimLostError | None:
        address = await cluster.address()
        return ClaimLostError(where=address.where) if await has_claim_to_lose(address) else None

    async def prove(name: str) -> str:
        may_exist = live or not cluster.is_later
        if may_exist and (lost := await asked(ask, None, live=live)):
            raise pulumi.RunError(str(lost))
        return name

    proven: pulumi.Output[str] = namespace.metadata.name.apply(prove)
    return proven
