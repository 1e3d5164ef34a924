"""What keeps an update from replacing the registry's volume: the settings that decide where it is stay as they are.

The engine is asked to ignore a change of these settings, so that no plan ever holds the replacement; what it keeps is
then compared with what is set, and a difference ends the program (docs/adr/0023-the-volume-stays-where-it-is.md).
"""

import pulumi
import pulumi_kubernetes as kubernetes

from components.errors import VolumeMovedError
from kube_registry.errors import Where
from kube_registry.spec.settings import RegistrySettings

NAMESPACE_STAYS = ["metadata.name"]
"""Inputs of the Namespace whose change is ignored (Pulumi's resource option ignore_changes)."""

CLAIM_STAYS = ["spec.storageClassName", "spec.accessModes", "spec.volumeName"]
"""The same, of the claim: Kubernetes lets none of them change, so the provider would delete it and create another."""


def unmoved(
    settings: RegistrySettings, namespace: kubernetes.core.v1.Namespace, claim: kubernetes.core.v1.PersistentVolumeClaim
) -> pulumi.Output[str]:
    """Return the registry's namespace, which is there only if namespace and claim are where the settings have them.

    What takes its namespace from here is not registered otherwise, in preview neither.

    Args:
        settings: what was chosen for the stack.
        namespace: the registry's; its outputs are those of the state, if it is there.
        claim: the registry's, likewise.
    """

    def compare(kept: list[str | None]) -> str:
        name, storage_class = str(kept[0]), kept[1]
        changes = {
            "namespace": (name, settings.namespace),
            "claim.storageClass": (storage_class, settings.claim.storage_class),
        }
        for key, (before, wanted) in changes.items():
            if before and wanted and before != wanted:
                where = Where("cluster not known", settings.kube_context, name, settings.kubeconfig, settings.stack)
                error = VolumeMovedError(where=where, key=key, before=before, wanted=wanted, retained=settings.retain)
                raise pulumi.RunError(str(error))
        return name

    return pulumi.Output.all(namespace.metadata.name, claim.spec.storage_class_name).apply(compare)
