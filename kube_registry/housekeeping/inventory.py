"""The inventory of a registry at one moment: what lies on its volume, which images that is, and who uses them.

An image is a manifest with all that hangs on it. What is shared with other images is counted once for the registry and
as "shared" for each.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kube_registry.housekeeping.kinds import Unlisted
from kube_registry.housekeeping.manifests import Manifests, read_manifests
from kube_registry.housekeeping.protection import Protection
from kube_registry.housekeeping.references import names_of
from kube_registry.housekeeping.roots import Root, roots
from kube_registry.housekeeping.usage import Use, read_usage
from kube_registry.housekeeping.volume_listing import Key, Storage, read_storage
from kube_registry.kube.client import KubeClient
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.registry.door import open_door

PREFLIGHT = "the preflight"
"""Who uses the image that nodes prove their pull with."""


@dataclass(frozen=True)
class Image:
    """An image with all that hangs on it.

    Args:
        repository: its name.
        digest: of its manifest or index.
        tags: that name it, the newest first.
        pushed: when it was, or its newest tag.
        platforms: that it runs on.
        manifests: its own manifest and all that hang on it, in any repository.
        parts: digest of each blob that it needs, manifests too -> bytes on the volume; those that are gone are missing.
        users: workloads that use it, and what protects it.
        nodes: on which pods use it.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    pushed: datetime
    platforms: tuple[str, ...]
    manifests: frozenset[Key]
    parts: Mapping[str, int]
    users: tuple[str, ...]
    nodes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Repository and newest tag, or digest where no tag names it."""
        return f"{self.repository}:{self.tags[0]}" if self.tags else self.key

    @property
    def key(self) -> str:
        """Repository and digest, by which it is one of its kind."""
        return f"{self.repository}@{self.digest}"

    @property
    def size(self) -> int:
        """Bytes of all that it needs."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Inventory:
    """What there is, at one moment.

    Args:
        storage: what lies on the volume.
        manifests: what its manifests say.
        images: what it means, and who uses what.
        unlisted: what of the cluster could not be looked at.
        idle: what matches no image, and so protects none: it may be misspelt.
    """

    storage: Storage
    manifests: Manifests
    images: tuple[Image, ...]
    unlisted: tuple[Unlisted, ...] = ()
    idle: tuple[Protection, ...] = ()


async def read_contents(kube: KubeClient) -> Inventory:
    """Read everything that is stored, through the read door; who uses it is not asked.

    Args:
        kube: client of the registry's cluster.

    Raises:
        ClusterError: something cannot be asked, or may not be.
    """
    async with open_door(kube, None) as registry:
        storage = await read_storage(kube)
        manifests = await read_manifests(registry, storage)
        if None in manifests.values():
            storage = await read_storage(kube)  # a collection may have removed it in between, which is no damage
            manifests = await read_manifests(registry, storage)
    return Inventory(storage, manifests, tuple(list_images(storage, manifests, ())))


async def take_inventory(
    kube: KubeClient, outputs: Iterable[Use], *, protect: Sequence[Protection] = (), helm: bool = False
) -> Inventory:
    """Read everything that is stored and used.

    Args:
        kube: client of the registry's cluster.
        outputs: uses that the cluster does not know: images of a stack's outputs.
        protect: what stays, used or not; annotations add to it.
        helm: whether to read the Secrets in which Helm keeps its releases.

    Raises:
        ClusterError: something cannot be asked, or may not be.
    """
    seen = await read_contents(kube)
    usage = await read_usage(kube, names_of(seen.storage, seen.manifests), helm=helm)  # last: it may have changed
    protections = [*protect, *usage.protections]
    found = list_images(seen.storage, seen.manifests, [*usage.uses, *outputs], protections)
    names = [(image.repository, image.tags, image.digest) for image in found]
    idle = tuple(each for each in protections if not any(each.covers(*of) for of in names))
    return replace(seen, images=tuple(found), unlisted=usage.unlisted, idle=idle)


def list_images(
    storage: Storage, manifests: Manifests, uses: Iterable[Use], protections: Iterable[Protection] = ()
) -> list[Image]:
    """Every image of a registry, by repository, the newest first.

    Args:
        storage: what lies on its volume.
        manifests: what its manifests say.
        uses: who uses what.
        protections: what stays, used or not.
    """
    used: defaultdict[Key, list[Use]] = defaultdict(list)
    for use in uses:
        tag = storage.tags.get((use.repository, use.tag or ""))
        if digest := use.digest or (tag and tag.digest):
            used[use.repository, digest].append(use)
    protected = _protected(storage, manifests, list(protections))
    found = [_image(storage, manifests, root, used, protected) for root in roots(storage, manifests)]
    return sorted(found, key=lambda image: (image.repository, -image.pushed.timestamp(), image.digest))


def unique_bytes(images: Sequence[Image]) -> Mapping[str, int]:
    """How many bytes each image, by its key, shares with no other.

    Args:
        images: all that a registry has.
    """
    holders = Counter(part for image in images for part in image.parts)
    return {image.key: sum(size for part, size in image.parts.items() if holders[part] == 1) for image in images}


def _image(
    storage: Storage, manifests: Manifests, root: Root, used: Mapping[Key, list[Use]], protected: Mapping[Key, set[str]]
) -> Image:
    (repository, digest), tags, manifest = root.key, root.tags, manifests[root.key]
    uses = [use for key in root.members for use in used.get(key, ())]
    users = {use.user for use in uses} | ({PREFLIGHT} if repository == PROBE_REPOSITORY else set())
    users = users.union(*(protected[key] for key in root.members))
    needed = {part for _, part in root.members}.union(*(each.blobs for key in root.members if (each := manifests[key])))
    return Image(
        repository=repository,
        digest=digest,
        tags=tags,
        pushed=storage.tags[repository, tags[0]].pushed if tags else storage.manifests[root.key],
        platforms=manifest.platforms if manifest else (),
        manifests=root.members,
        parts={part: storage.blobs[part] for part in needed if part in storage.blobs},
        users=tuple(sorted(users)),
        nodes=tuple(sorted({use.node for use in uses if use.node})),
    )


def _protected(storage: Storage, manifests: Manifests, protections: Sequence[Protection]) -> Mapping[Key, set[str]]:
    """What protects each manifest by its own names: of a child or a referrer as well, which goes with its image."""
    tags: defaultdict[Key, list[str]] = defaultdict(list)
    for (repository, name), tag in storage.tags.items():
        tags[repository, tag.digest].append(name)
    return {
        (repository, digest): {
            f"protected by {each.title}"
            for each in protections
            if each.covers(repository, tags[repository, digest], digest)
        }
        for repository, digest in manifests
    }
