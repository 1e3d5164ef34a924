"""The current user's permissions in a cluster, which every user may query (SelfSubjectAccessReview)."""

from collections.abc import Sequence
from dataclasses import dataclass

from kube_registry.concurrency import map_limited
from kube_registry.kube.client import KubeClient

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_AT_ONCE = 8


@dataclass(frozen=True)
class Permission:
    """A permission.

    Args:
        verb: RBAC verb.
        resource: RBAC resource with its subresource, such as pods/exec.
        group: the resource's API group.
        everywhere: whether it applies to all namespaces, or only to the registry's.
    """

    verb: str
    resource: str
    group: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        """Return the verb, the resource and the scope."""
        return f"{self.verb} {self.resource}{' in all namespaces' if self.everywhere else ''}"


async def lacking(kube: KubeClient, permissions: Sequence[Permission]) -> list[Permission]:
    """Return those permissions that the current user lacks.

    Args:
        kube: client of the cluster.
        permissions: the permissions to check.

    Raises:
        ClusterError: the API server did not answer the review.
    """

    async def is_granted(permission: Permission) -> bool:
        resource, _, subresource = permission.resource.partition("/")
        attributes = {
            "verb": permission.verb,
            "group": permission.group,
            "resource": resource,
            "subresource": subresource,
        }
        if not permission.everywhere:
            attributes["namespace"] = kube.where.namespace
        review = await kube.create(_REVIEWS, {"spec": {"resourceAttributes": attributes}}, repeatable=True)
        return bool(review["status"]["allowed"])

    granted = await map_limited(is_granted, permissions, at_once=_AT_ONCE)
    return [each for each, has in zip(permissions, granted, strict=True) if not has]


async def user_of(kube: KubeClient) -> str:
    """Return the current user's name, as the API server names it (SelfSubjectReview, since Kubernetes 1.28).

    Args:
        kube: client of the cluster.

    Raises:
        ClusterError: the API server did not answer the review.
    """
    review = await kube.create(_WHO_AM_I, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    return str(review["status"]["userInfo"]["username"])
