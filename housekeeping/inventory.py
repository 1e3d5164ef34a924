"""The inventory of a registry: what lies on its volume, what that means, and who uses it, at one moment."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cluster.kube import KubeClient
from cluster.push import ANSWER_SECONDS
from cluster.registry import RegistryClient, open_registry
from cluster.tunnel import open_tunnel
from housekeeping.images import Image, images
from housekeeping.manifests import Manifests, read_manifests
from housekeeping.storage import Storage, read_storage
from housekeeping.usage import Use, read_uses


@dataclass(frozen=True)
class Look:
    """What there is, at one moment.

    Args:
        storage: what lies on the volume.
        manifests: what its manifests say.
        images: what it means, and who uses what.
    """

    storage: Storage
    manifests: Manifests
    images: tuple[Image, ...]


@asynccontextmanager
async def write_door(kube: KubeClient) -> AsyncIterator[RegistryClient]:
    """A client of the write door, through a tunnel of its own."""
    async with (
        open_tunnel(kube, 0, seconds=ANSWER_SECONDS) as tunnel,
        open_registry(tunnel.address, kube.where) as registry,
    ):
        yield registry


async def look(kube: KubeClient, registry: RegistryClient, outputs: Iterable[Use]) -> Look:
    """Look at everything that is stored and used.

    Args:
        kube: client of the registry's cluster.
        registry: a door of the registry.
        outputs: uses that the cluster does not know: images of a stack's outputs.

    Raises:
        ClusterError: something cannot be asked, or may not be.
    """
    storage = await read_storage(kube)
    manifests = await read_manifests(registry, storage)
    found = images(storage, manifests, [*await read_uses(kube), *outputs])
    return Look(storage, manifests, tuple(found))
