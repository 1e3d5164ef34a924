"""Which rights whoever asks has in a cluster: the API server tells everybody (SelfSubjectAccessReview)."""

from collections.abc import Sequence
from dataclasses import dataclass

from kube_registry.concurrency import map_limited
from kube_registry.kube.client import KubeClient

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_AT_ONCE = 8


@dataclass(frozen=True)
class Right:
    """What somebody may do, or not.

    Args:
        verb: as RBAC has it.
        resource: likewise, with its subresource: pods/exec.
        group: the resource's API group.
        everywhere: whether in all namespaces; in the registry's if not.
    """

    verb: str
    resource: str
    group: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.verb} {self.resource}{' in all namespaces' if self.everywhere else ''}"


async def lacking(kube: KubeClient, rights: Sequence[Right]) -> list[Right]:
    """Those that whoever asks does not have.

    Args:
        kube: client of the cluster.
        rights: that are asked for.

    Raises:
        ClusterError: the API server does not tell.
    """

    async def is_granted(right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
        if not right.everywhere:
            attributes["namespace"] = kube.where.namespace
        told = await kube.create(_REVIEWS, {"spec": {"resourceAttributes": attributes}}, repeatable=True)
        return bool(told["status"]["allowed"])

    granted = await map_limited(is_granted, rights, at_once=_AT_ONCE)
    return [right for right, has in zip(rights, granted, strict=True) if not has]


async def user_of(kube: KubeClient) -> str:
    """The name of whoever asks, as the API server knows it (SelfSubjectReview, since Kubernetes 1.28).

    Args:
        kube: client of the cluster.

    Raises:
        ClusterError: the API server does not say.
    """
    review = await kube.create(_WHO_AM_I, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    return str(review["status"]["userInfo"]["username"])
