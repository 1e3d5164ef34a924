"""Who in a cluster uses which image: pods, what would make pods, and what a rollback would bring back.

Every object that may hold a pod's spec is read whole, and each image in it that is pulled from a node's own loopback is
a use, whatever its port: a use too many keeps an image for longer, one too few would lose it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster.kube import KubeClient
from cluster.pods import Object
from cluster.several import several
from stack.endpoints import parse_reference

_CORE, _APPS, _BATCH = "/api/v1", "/apis/apps/v1", "/apis/batch/v1"
_KINDS = {
    "Pod": f"{_CORE}/pods",
    "ReplicationController": f"{_CORE}/replicationcontrollers",
    "Deployment": f"{_APPS}/deployments",
    "ReplicaSet": f"{_APPS}/replicasets",
    "DaemonSet": f"{_APPS}/daemonsets",
    "StatefulSet": f"{_APPS}/statefulsets",
    "ControllerRevision": f"{_APPS}/controllerrevisions",
    "Job": f"{_BATCH}/jobs",
    "CronJob": f"{_BATCH}/cronjobs",
}
"""Kind -> where all of it is listed. ReplicaSets and ControllerRevisions that exist are kept for a rollback."""

_PAGE = "500"
"""Objects of one answer: ten thousand pods in one would be a hundred megabytes."""

_IMAGE_KEYS = ("image", "imageID", "reference")
"""A container's image, the one that a container's status names, and that of an image volume (KEP-4639)."""

_LOOPBACK = ("localhost:", "127.0.0.1:")


@dataclass(frozen=True)
class Use:
    """An image that something needs.

    Args:
        repository: its name in the registry.
        tag: by which it is pulled; of no interest if there is a digest.
        digest: by which it is pulled, or was.
        user: kind, namespace and name of the workload.
        node: on which a pod has it; None if no pod has.
    """

    repository: str
    tag: str | None
    digest: str | None
    user: str
    node: str | None


def output_uses(stack: str, references: Mapping[str, str]) -> list[Use]:
    """The uses of a stack's outputs, which somebody may deploy at any time.

    Args:
        stack: its name.
        references: name -> pull reference of its images.
    """
    used = [parse_reference(text) for text in references.values()]
    return [Use(image.repository, image.tag, image.digest, f"output of {stack}", None) for image in used]


async def read_uses(kube: KubeClient) -> list[Use]:
    """All uses in all namespaces.

    Args:
        kube: client of the registry's cluster.

    Raises:
        ForbiddenError: something may not be listed, so nobody can say what is not used.
    """
    listed = await several(partial(_listed, kube), _KINDS.values(), at_once=len(_KINDS))
    return uses(dict(zip(_KINDS, listed, strict=True)))


def uses(objects: Mapping[str, list[Object]]) -> list[Use]:
    """The uses that objects tell of.

    Args:
        objects: kind -> all objects of it.
    """
    kinds = {each["metadata"]["uid"]: (kind, each) for kind, listed in objects.items() for each in listed}
    found = {
        _use(text, _user(kind, each, kinds), each.get("spec", {}).get("nodeName") if kind == "Pod" else None): None
        for kind, listed in objects.items()
        for each in listed
        for text in _images(each)
    }
    return [use for use in found if use]


async def _listed(kube: KubeClient, path: str) -> list[Object]:
    page = await kube.get(path, limit=_PAGE)
    listed = list(page["items"])
    while token := page["metadata"].get("continue"):
        page = await kube.get(path, limit=_PAGE, **{"continue": token})
        listed += page["items"]
    return listed


def _images(value: object) -> Iterator[str]:
    """Every image in an object that is pulled from a loopback."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, str):
                text = each.rpartition("://")[2]  # some runtimes tell an image's scheme
                if key in _IMAGE_KEYS and text.startswith(_LOOPBACK):
                    yield text
            else:
                yield from _images(each)
    elif isinstance(value, list):
        for each in value:
            yield from _images(each)


def _use(text: str, user: str, node: str | None) -> Use | None:
    try:
        image = parse_reference(text)
    except ValueError:
        return None  # nothing that a registry has
    tag = None if image.digest else image.tag or "latest"
    return Use(image.repository, tag, image.digest, user, node)


def _user(kind: str, each: Object, kinds: Mapping[str, tuple[str, Object]]) -> str:
    """The workload that a person knows: a pod's is the Deployment of its ReplicaSet."""
    metadata: dict[str, Any] = each["metadata"]
    owners = [owner["uid"] for owner in metadata.get("ownerReferences", []) if owner.get("controller")]
    if owners and owners[0] in kinds:
        return _user(*kinds[owners[0]], kinds)
    return f"{kind} {metadata['namespace']}/{metadata['name']}"
