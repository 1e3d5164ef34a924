"""The kinds of objects that may name an image, and where a cluster lists them.

The other kinds of Kubernetes itself are left out: Nodes and Events name every image that has ever run, the rest name
none. Secrets are read only if the user asks for Helm releases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from kube_registry.concurrency import map_limited
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError, UnreachableError
from kube_registry.kube.paging import PAGE
from kube_registry.kube.retries import kube_patience, retried

AT_ONCE = 8
"""How many requests are sent at once."""

FORBIDDEN = "forbidden"
"""The reason for a kind that was not listed because the permission to list it is missing."""

_BUILT_IN = frozenset(
    {
        "apps",
        "autoscaling",
        "batch",
        "extensions",
        "policy",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "custom.metrics.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "external.metrics.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "metrics.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)
"""API groups of Kubernetes itself, and of its metrics; those of their kinds that name images are listed below."""


@dataclass(frozen=True)
class Kind:
    """A kind of objects.

    Args:
        name: its name in objects, such as CronJob.
        resource: its name in RBAC rules, such as cronjobs.batch.
        path: path that lists all its objects.
        needed: whether it is an error if the permission to list it is missing.
        query: parameters that restrict the list.
        page: how many objects are requested at a time.
    """

    name: str
    resource: str
    path: str
    needed: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    page: int = PAGE


@dataclass(frozen=True)
class Unlisted:
    """A kind or API group that could not be listed.

    Args:
        resource: its name in RBAC rules.
        reason: why, in a few words.
    """

    resource: str
    reason: str

    def __str__(self) -> str:
        """Return it in the form in which errors name it."""
        return f"{self.resource} ({self.reason})"


def _workloads(group: str, path: str, names: Iterable[str]) -> list[Kind]:
    suffix = f".{group}" if group else ""
    return [Kind(name, f"{name.lower()}s{suffix}", f"{path}/{name.lower()}s", needed=True) for name in names]


WORKLOADS = (
    *_workloads("", "/api/v1", ("Pod", "ReplicationController")),
    *_workloads(
        "apps", "/apis/apps/v1", ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "ControllerRevision")
    ),
    *_workloads("batch", "/apis/batch/v1", ("Job", "CronJob")),
)
"""Kinds that run images, and the ReplicaSets and ControllerRevisions that are kept for a rollback."""

PLAIN = (
    Kind("PodTemplate", "podtemplates", "/api/v1/podtemplates"),
    Kind("ConfigMap", "configmaps", "/api/v1/configmaps"),
)

HELM = Kind(
    "Secret",
    "secrets",
    "/api/v1/secrets",
    needed=True,  # the user has asked for it
    query={"labelSelector": "owner=helm", "fieldSelector": "type=helm.sh/release.v1"},
    page=50,  # each has up to a megabyte
)
"""Helm releases: every revision that `helm rollback` may restore."""


async def custom_kinds(kube: KubeClient) -> tuple[list[Kind], list[Unlisted]]:
    """Find the kinds of a cluster that are not built into Kubernetes: custom resources, aggregated APIs.

    Args:
        kube: client of the cluster.

    Returns:
        The kinds that can be listed, and the API groups that did not return their kinds.

    Raises:
        UnreachableError: the API server does not respond.
        RefusedError: the API server does not become ready.
    """
    asked = [
        (group["name"], version["groupVersion"])
        for group in await _discovered(kube, "/apis", "groups")
        if group["name"] not in _BUILT_IN
        for version in group.get("versions") or []
    ]
    found: dict[str, Kind] = {}
    silent: dict[str, Unlisted] = {}
    for kinds, group in await map_limited(lambda version: _kinds(kube, *version), asked, at_once=AT_ONCE):
        for kind in kinds:
            found.setdefault(kind.resource, kind)  # the preferred version comes first
        if group:
            silent.setdefault(group.resource, group)
    return list(found.values()), list(silent.values())


async def _discovered(kube: KubeClient, path: str, field_name: str) -> list[dict[str, Any]]:
    """Return what a discovery path lists, once the API server is ready.

    Before that, the API server returns only part of its API groups, and 404 for a group that it is still loading.

    Args:
        kube: client of the cluster.
        path: /apis, or the path of a group's version.
        field_name: name of the field that has the list.
    """
    once = kube.once  # without retries: each might reach another API server that has just started

    async def ask() -> list[dict[str, Any]]:
        try:
            await once.text("/readyz")
        except RefusedError as error:
            if error.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):  # some clusters hide it
                raise
        return (await once.get(path)).get(field_name) or []

    return await retried(ask, kube_patience, ends=kube.ends)


async def _kinds(kube: KubeClient, group: str, version: str) -> tuple[list[Kind], Unlisted | None]:
    try:
        resources = await _discovered(kube, f"/apis/{version}", "resources")
    except (RefusedError, UnreachableError) as error:
        return [], unlisted(f"*.{group}", error)
    return [
        Kind(each["kind"], f"{each['name']}.{group}", f"/apis/{version}/{each['name']}")
        for each in resources
        if "list" in (each.get("verbs") or ()) and "/" not in each["name"]
    ], None


def unlisted(resource: str, error: RefusedError | UnreachableError) -> Unlisted | None:
    """Return a kind that could not be listed, with the reason; None if there is nothing to list.

    There is nothing to list if the definition was removed, or if its objects are only created, never stored.
    """
    if isinstance(error, UnreachableError):
        return Unlisted(resource, "no answer")
    if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return None
    return Unlisted(resource, FORBIDDEN if error.status == HTTPStatus.FORBIDDEN else f"status {error.status}")
