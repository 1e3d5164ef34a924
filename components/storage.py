"""The storage of a registry: a volume, or a bucket with what its pods need to share it."""

import secrets
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.names import HTTP_KEY, OURS, REGISTRY, RETAINED, labels
from kube_registry.spec.sections import S3Settings
from kube_registry.spec.settings import RegistrySettings

from .claim_guard import no_claim_lost
from .cluster import Cluster
from .registry_pod import HTTP_FIELD, disruption_budget
from .volume_guard import CLAIM_STAYS, unmoved


@dataclass(frozen=True)
class Storage:
    """Where a registry stores its images.

    Args:
        place: the registry's namespace, known after the check that no stored image is lost.
        identity: identifies the stored images; if it changes, all images are pushed again.
        needs: objects that the registry's pods need.
    """

    place: pulumi.Output[str]
    identity: pulumi.Input[str]
    needs: tuple[pulumi.Resource, ...]


def storage_of(
    name: str, cluster: Cluster, namespace: kubernetes.core.v1.Namespace, parent: pulumi.Resource
) -> Storage:
    """Create the storage of a registry.

    Args:
        name: name of the component.
        cluster: the cluster, with the settings of the registry.
        namespace: the registry's namespace.
        parent: the component.
    """
    inside = pulumi.ResourceOptions(parent=parent, depends_on=[namespace])
    if s3 := cluster.settings.s3:
        place = no_claim_lost(cluster, namespace)
        return Storage(place, s3.place, _of_bucket(name, cluster.settings, s3, place, inside))
    claim = _claim(name, cluster.settings, namespace, inside)
    return Storage(_unmoved(cluster.settings, namespace, claim), claim.metadata.uid, (claim,))


def _unmoved(
    settings: RegistrySettings, namespace: kubernetes.core.v1.Namespace, claim: kubernetes.core.v1.PersistentVolumeClaim
) -> pulumi.Output[str]:
    wanted = [("namespace", settings.namespace), ("claim.storageClass", settings.claim.storage_class)]
    return unmoved(settings, namespace, claim, wanted, "registry's volume")


def metadata_in(namespace: pulumi.Input[str], name: str = REGISTRY, **annotations: str) -> dict[str, Any]:
    """Return the metadata of an object of the registry."""
    return {
        "name": name,
        "namespace": namespace,
        "labels": labels("registry"),
        "annotations": {**OURS, **annotations} if annotations else OURS,
    }


def _claim(
    name: str, settings: RegistrySettings, namespace: kubernetes.core.v1.Namespace, inside: pulumi.ResourceOptions
) -> kubernetes.core.v1.PersistentVolumeClaim:
    return kubernetes.core.v1.PersistentVolumeClaim(
        f"{name}-claim",
        metadata=metadata_in(namespace.metadata.name, **({RETAINED: "true"} if settings.retain else {})),
        spec={
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": settings.claim.storage_class,
            "resources": {"requests": {"storage": settings.claim.size}},
        },
        opts=pulumi.ResourceOptions.merge(
            inside,
            # None inherits; False would override a component that is retained.
            pulumi.ResourceOptions(retain_on_delete=settings.retain or None, ignore_changes=CLAIM_STAYS),
        ),
    )


def _of_bucket(
    name: str, settings: RegistrySettings, s3: S3Settings, place: pulumi.Output[str], inside: pulumi.ResourceOptions
) -> tuple[pulumi.Resource, ...]:
    """Create the objects that pods with a bucket need: their HTTP secret, their service account, their budget."""
    opts = pulumi.ResourceOptions(parent=inside.parent, ignore_changes=["input"])
    key = pulumi.Output.secret(secrets.token_hex(32))
    first = pulumi.Stash(f"{name}-http-secret", input=key, opts=opts)  # its output keeps the first value
    data = {HTTP_FIELD: first.output}
    http = kubernetes.core.v1.Secret(
        f"{name}-http", metadata=metadata_in(place, HTTP_KEY), string_data=data, opts=inside
    )
    account = None
    if not s3.secret:
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-service-account",
            metadata=metadata_in(place, **s3.service_account_annotations),
            automount_service_account_token=False,
            opts=inside,
        )
    if settings.replicas > 1:
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-budget", metadata=metadata_in(place), spec=disruption_budget(), opts=inside
        )
    return (http, account) if account else (http,)
