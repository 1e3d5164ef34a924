"""What in a cluster uses which image: what runs, what would run, and what any other object names.

Every object is read completely, and each of its strings that names an image of the registry is a use, wherever it is:
an operator passes images in environment variables, a pipeline in arguments, GitOps in custom resources. A false use
keeps an image for longer; a missed one would lose it. See ADR 0021.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kube_registry.concurrency import map_limited
from kube_registry.housekeeping.helm import release_texts
from kube_registry.housekeeping.kinds import (
    AT_ONCE,
    HELM,
    PLAIN,
    WORKLOADS,
    Kind,
    Unlisted,
    custom_kinds,
    unlisted,
)
from kube_registry.housekeeping.protection import Protection, annotated
from kube_registry.housekeeping.references import Names, finder
from kube_registry.housekeeping.volume_listing import Key
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError, UnreachableError
from kube_registry.kube.paging import pages
from kube_registry.kube.pods import Object
from kube_registry.names import labels
from kube_registry.spec.endpoints import parse_reference

_OWNERS = 10
"""How many owners are followed upwards; objects may own each other."""

Find = Callable[[Iterable[str]], frozenset[Key]]
"""Finds the manifests that the texts of one object name."""


@dataclass(frozen=True)
class Use:
    """An image that something needs.

    Args:
        repository: its repository.
        tag: tag by which it is pulled; ignored if there is a digest.
        digest: digest by which it is or was pulled.
        user: kind, namespace and name of the workload.
        node: node on which a pod uses it; None if no pod does.
    """

    repository: str
    tag: str | None
    digest: str | None
    user: str
    node: str | None


@dataclass(frozen=True)
class Usage:
    """How a cluster uses the images of its registry.

    Args:
        uses: all uses.
        protections: the protections in annotations.
        unlisted: kinds that could not be listed, whose uses are unknown.
    """

    uses: tuple[Use, ...]
    protections: tuple[Protection, ...]
    unlisted: tuple[Unlisted, ...]


def output_uses(stack: str, references: Mapping[str, str]) -> list[Use]:
    """Return the images in a stack's outputs as uses: they may be deployed at any time.

    Args:
        stack: its name.
        references: name -> pull reference of its images.
    """
    used = [parse_reference(text) for text in references.values()]
    return [Use(image.repository, image.tag, image.digest, f"output of {stack}", None) for image in used]


async def read_usage(kube: KubeClient, names: Names, *, helm: bool = False) -> Usage:
    """Read all uses in all namespaces.

    Args:
        kube: client of the registry's cluster.
        names: the names of the registry's images.
        helm: whether to read the Secrets in which Helm keeps its releases.

    Raises:
        ForbiddenError: the permission to list workloads is missing, without which no image is known to be unused.
    """
    custom, silent = await custom_kinds(kube)
    kinds = [*WORKLOADS, *PLAIN, *custom, *([HELM] if helm else [])]
    find = finder(names)
    read = await map_limited(lambda kind: _read(kube, kind, find), kinds, at_once=AT_ONCE)
    read.insert(0, await _read_namespace(kube, find))
    traces = {uid: trace for each in read if isinstance(each, dict) for uid, trace in each.items()}
    protections = [each for trace in traces.values() for each in trace.protects]
    silent += [each for each in read if isinstance(each, Unlisted)]
    uses = tuple(
        Use(repository, None, digest, _user(uid, traces), trace.node)
        for uid, trace in traces.items()
        for repository, digest in sorted(trace.images)
    )
    return Usage(uses, tuple(protections), tuple(silent))


@dataclass(frozen=True)
class _Trace:
    """What is kept in memory of an object.

    Args:
        name: kind, namespace and name.
        owner: uid of its controller; None if it has none.
        node: node on which it runs, if it is a pod.
        images: images that it names.
        protects: the protections in its annotation.
    """

    name: str
    owner: str | None
    node: str | None
    images: frozenset[Key]
    protects: tuple[Protection, ...]


async def _read(kube: KubeClient, kind: Kind, find: Find) -> dict[str, _Trace] | Unlisted:
    """Return the traces of all objects of a kind, by uid."""
    found: dict[str, _Trace] = {}
    try:
        async for page in pages(kube, kind.path, limit=kind.page, **kind.query):
            for each in page:
                trace = _trace(kind, each, [] if _is_record(kube, kind, each) else _texts(kind, each), find)
                found[each["metadata"].get("uid") or trace.name] = trace
    except (RefusedError, UnreachableError) as error:
        if kind.needed:
            raise
        return unlisted(kind.resource, error) or found
    return found


async def _read_namespace(kube: KubeClient, find: Find) -> dict[str, _Trace] | Unlisted:
    """Return the trace of the registry's own Namespace, which names no image but may protect some."""
    name = kube.where.namespace
    kind = Kind("Namespace", f"namespaces/{name}", f"/api/v1/namespaces/{name}")
    try:
        found = await kube.get(kind.path)
    except (RefusedError, UnreachableError) as error:
        return unlisted(kind.resource, error) or {}
    return {kind.resource: _trace(kind, found, (), find)}


def _trace(kind: Kind, item: Object, texts: Iterable[str], find: Find) -> _Trace:
    metadata = item["metadata"]
    owners = [owner["uid"] for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
    namespace = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    name = f"{kind.name} {namespace}{metadata['name']}"
    return _Trace(
        name,
        owners[0] if owners else None,
        item["spec"].get("nodeName") if kind.name == "Pod" else None,
        find(texts),
        tuple(annotated(name, metadata.get("annotations") or {})),
    )


def _is_record(kube: KubeClient, kind: Kind, item: Object) -> bool:
    """Return whether an object is a ConfigMap of the registry itself, which is not a use."""
    metadata, name = item["metadata"], "app.kubernetes.io/name"
    inside = kind.name == "ConfigMap" and metadata.get("namespace") == kube.where.namespace
    return inside and (metadata.get("labels") or {}).get(name) == labels("")[name]


def _texts(kind: Kind, item: Object) -> Iterator[str]:
    """Yield strings and numbers of an object, except `managedFields`, which repeats fields; of Secrets, the release."""
    if kind is not HELM:
        yield from _strings({**item, "metadata": {**item["metadata"], "managedFields": None}})
    yield from release_texts(item, encoded=kind is HELM)


def _strings(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += each.values()
            yield from (key for key in each if ":" in key)
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, int | float):  # a tag that YAML does not quote may be one
            yield str(each)


def _user(uid: str, traces: Mapping[str, _Trace]) -> str:
    """Return the topmost owner of an object: for a pod, the Deployment of its ReplicaSet."""
    trace = traces[uid]
    for _ in range(_OWNERS):
        if trace.owner is None or trace.owner not in traces:
            break
        trace = traces[trace.owner]
    return trace.name
