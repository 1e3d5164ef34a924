"""List a registry through its API: manifests with a tag and what belongs to them, for a registry with a bucket.

The API lists neither manifests without a tag, nor the time of a push, nor the sizes of blobs.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from kube_registry.housekeeping.inventory import Inventory, list_images
from kube_registry.housekeeping.manifests import Manifest, read_manifests
from kube_registry.housekeeping.volume_listing import Key, Room, Storage, Tag
from kube_registry.kube.client import KubeClient
from kube_registry.registry.api import RegistryClient
from kube_registry.registry.door import open_door

_UNKNOWN = datetime.fromtimestamp(0, UTC)
"""The time of every push."""


async def read_tagged(kube: KubeClient, named: Iterable[Key]) -> Inventory:
    """Read everything that has a tag, and what belongs to it; every time in the result is the same.

    Args:
        kube: client of the registry's cluster.
        named: manifests to read as well, tagged or not.

    Raises:
        ClusterError: something cannot be read, or a permission is missing.
    """
    manifests: dict[Key, Manifest | None] = {}
    async with open_door(kube, None) as registry:
        tags = await _tags(registry)
        waiting = {(repository, tag.digest) for (repository, _), tag in tags.items()} | set(named)
        while waiting:
            read = await read_manifests(registry, _storage(waiting, tags))
            manifests |= read
            children = {(key[0], child) for key, each in read.items() if each for child in each.children}
            waiting = children - manifests.keys()
    storage = _storage(manifests, tags)
    return Inventory(storage, manifests, tuple(list_images(storage, manifests, ())))


async def _tags(registry: RegistryClient) -> dict[tuple[str, str], Tag]:
    found = {}
    for repository in await registry.repositories():
        for name in await registry.tags(repository):
            if digest := await registry.tagged(repository, name):
                found[repository, name] = Tag(digest, _UNKNOWN)
    return found


def _storage(manifests: Iterable[Key], tags: dict[tuple[str, str], Tag]) -> Storage:
    return Storage(Room(0, 0), _UNKNOWN, dict.fromkeys(manifests, _UNKNOWN), tags, {})
