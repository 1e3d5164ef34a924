"""The inventory of a registry at one moment: what is on its volume, the images in it, and what uses them.

An image is a manifest with everything that belongs to it. What several images share is counted once for the registry
and as "shared" for each image.
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
"""The user of the image that nodes pull as a proof."""


@dataclass(frozen=True)
class Image:
    """An image with everything that belongs to it.

    Args:
        repository: name of its repository.
        digest: digest of its manifest or index.
        tags: its tags, the newest first.
        pushed: when it, or its newest tag, was pushed.
        platforms: its platforms.
        manifests: its own manifest and all that belong to it, in any repository.
        parts: digest of each blob and manifest that it needs -> bytes on the volume; without those that are missing.
        users: workloads that use it, and what protects it.
        nodes: nodes on which pods use it.
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
        """Repository and newest tag, or digest if it has no tag."""
        return f"{self.repository}:{self.tags[0]}" if self.tags else self.key

    @property
    def key(self) -> str:
        """Repository and digest, which identify it."""
        return f"{self.repository}@{self.digest}"

    @property
    def size(self) -> int:
        """Bytes of everything that it needs."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Inventory:
    """The content of a registry at one moment.

    Args:
        storage: what is on the volume.
        manifests: the parsed manifests.
        images: the images, with their users.
        unlisted: kinds of objects that could not be listed.
        idle: protections that match no image, perhaps because they are misspelt.
    """

    storage: Storage
    manifests: Manifests
    images: tuple[Image, ...]
    unlisted: tuple[Unlisted, ...] = ()
    idle: tuple[Protection, ...] = ()


async def read_contents(kube: KubeClient) -> Inventory:
    """Read everything that is stored, through the read door, but not what uses it.

    Args:
        kube: client of the registry's cluster.

    Raises:
        ClusterError: something cannot be read, or a permission is missing.
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
    """Read everything that is stored, and what uses it.

    Args:
        kube: client of the registry's cluster.
        outputs: uses that are not in the cluster: images in a stack's outputs.
        protect: images to keep, used or not; annotations add to them.
        helm: whether to read the Secrets in which Helm keeps its releases.

    Raises:
        ClusterError: something cannot be read, or a permission is missing.
    """
    seen = await read_contents(kube)
    usage = await read_usage(kube, names_of(seen.storage, seen.manifests), helm=helm)  # last, as it may have changed
    protections = [*protect, *usage.protections]
    found = list_images(seen.storage, seen.manifests, [*usage.uses, *outputs], protections)
    names = [(image.repository, image.tags, image.digest) for image in found]
    idle = tuple(each for each in protections if not any(each.covers(*name) for name in names))
    return replace(seen, images=tuple(found), unlisted=usage.unlisted, idle=idle)


def list_images(
    storage: Storage, manifests: Manifests, uses: Iterable[Use], protections: Iterable[Protection] = ()
) -> list[Image]:
    """Return every image of a registry, by repository, the newest first.

    Args:
        storage: what is on its volume.
        manifests: its parsed manifests.
        uses: all uses of its images.
        protections: images to keep, used or not.
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
    """Return key of each image -> bytes that it shares with no other image.

    Args:
        images: all images of a registry.
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
    """Return what protects each manifest by its own names; a child or a referrer then protects its whole image."""
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
