"""The inventory of a registry: what lies on its volume, what that means, and who uses it, at one moment."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kube_registry.housekeeping.images import Image, images
from kube_registry.housekeeping.kinds import Unlisted
from kube_registry.housekeeping.manifests import Manifests, read_manifests
from kube_registry.housekeeping.protection import Protection
from kube_registry.housekeeping.references import names_of
from kube_registry.housekeeping.usage import Use, read_usage
from kube_registry.housekeeping.volume_listing import Storage, read_storage
from kube_registry.kube.client import KubeClient
from kube_registry.registry.api import RegistryClient


@dataclass(frozen=True)
class Look:
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


async def read_contents(kube: KubeClient, registry: RegistryClient) -> Look:
    """Look at everything that is stored; nobody is asked who uses it.

    Args:
        kube: client of the registry's cluster.
        registry: a door of the registry.

    Raises:
        ClusterError: something cannot be asked, or may not be.
    """
    storage = await read_storage(kube)
    manifests = await read_manifests(registry, storage)
    if any(manifest is None for of in manifests.values() for manifest in of.values()):
        storage = await read_storage(kube)  # a collection may have removed it in between, which is no damage
        manifests = await read_manifests(registry, storage)
    return Look(storage, manifests, tuple(images(storage, manifests, ())))


async def look(
    kube: KubeClient,
    registry: RegistryClient,
    outputs: Iterable[Use],
    *,
    protect: Sequence[Protection] = (),
    helm: bool = False,
) -> Look:
    """Look at everything that is stored and used.

    Args:
        kube: client of the registry's cluster.
        registry: a door of the registry.
        outputs: uses that the cluster does not know: images of a stack's outputs.
        protect: what stays, used or not; annotations add to it.
        helm: whether to read the Secrets in which Helm keeps its releases.

    Raises:
        ClusterError: something cannot be asked, or may not be.
    """
    seen = await read_contents(kube, registry)
    usage = await read_usage(kube, names_of(seen.storage, seen.manifests), helm=helm)  # last: it may have changed
    protections = [*protect, *usage.protections]
    found = images(seen.storage, seen.manifests, [*usage.uses, *outputs], protections)
    names = [(image.repository, image.tags, image.digest) for image in found]
    idle = tuple(each for each in protections if not any(each.covers(*of) for of in names))
    return replace(seen, images=tuple(found), unlisted=usage.unlisted, idle=idle)
