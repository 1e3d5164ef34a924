"""A garbage collection: manifests deleted through the write door, then the registry's own sweep in its pod.

Nobody pushes meanwhile, by the lease; pulls go on. It may be broken off at any moment: what is deleted is what the plan
had named, and the next one finishes the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from kube_registry.errors import Where
from kube_registry.housekeeping.errors import (
    DamagedManifestsError,
    OtherDigestError,
    UsesUnknownError,
    WrittenMeanwhileError,
)
from kube_registry.housekeeping.gc_plan import Keep, Plan, plan
from kube_registry.housekeeping.images import Image
from kube_registry.housekeeping.inventory import Look, look
from kube_registry.housekeeping.kinds import Unlisted
from kube_registry.housekeeping.manifests import Manifests
from kube_registry.housekeeping.protection import Protection
from kube_registry.housekeeping.sweep import sweep
from kube_registry.housekeeping.usage import Use
from kube_registry.housekeeping.volume_listing import read_files, read_storage
from kube_registry.kube.client import KubeClient
from kube_registry.lease.errors import LeaseLostError
from kube_registry.lease.lease import Lease, lease_held
from kube_registry.registry.api import RegistryClient
from kube_registry.registry.door import open_door


@dataclass(frozen=True)
class Collected:
    """What a collection has done.

    Args:
        images: that were removed.
        freed: bytes of blobs that lie on the volume no longer, as counted before and after.
        free: bytes that are free now.
    """

    images: tuple[Image, ...]
    freed: int
    free: int


def draw_up(where: Where, seen: Look, keep: Keep, *, among: Container[str] | None = None) -> Plan:
    """Work out what would go of a registry.

    Args:
        where: named in errors.
        seen: the registry.
        keep: as for `plan`.
        among: as for `plan`.

    Raises:
        DamagedManifestsError: there are manifests of which nobody can tell what they need.
        OtherDigestError: the registry's own collection would harm images that stay.
    """
    unreadable = sum(manifest is None for of in seen.manifests.values() for manifest in of.values())
    if unreadable:
        raise DamagedManifestsError(where=where, count=unreadable)
    going = plan(seen.storage, seen.images, keep, among=among)
    if harmed := sorted(_harmed(seen.manifests, going)):
        raise OtherDigestError(where=where, images=tuple(harmed))
    return going


def _harmed(manifests: Manifests, going: Plan) -> Iterator[str]:
    """What stays and names a blob by a digest under which the registry does not keep it: it keeps all by sha256."""
    for repository, of in manifests.items():
        for digest, manifest in of.items():
            stays = digest not in going.manifests.get(repository, ())
            if stays and manifest and not all(blob.startswith("sha256:") for blob in manifest.blobs):
                yield f"{repository}@{digest}"


async def collect(
    kube: KubeClient,
    outputs: Iterable[Use],
    keep: Keep,
    agreed: Plan,
    say: Callable[[str], None],
    *,
    protect: Sequence[Protection] = (),
    helm: bool = False,
    unlisted: Collection[Unlisted] = (),
) -> Collected:
    """Remove what was agreed upon and is still of no use, and give its room back.

    Args:
        kube: client of the registry's cluster.
        outputs: as for `look`.
        keep: as for `plan`.
        agreed: the plan that a person has seen; nothing else goes.
        say: told of every step.
        protect: as for `look`.
        helm: as for `look`.
        unlisted: what could not be looked at, as that person has seen.

    Raises:
        LeaseHeldError: somebody pushes and does not end.
        DamagedManifestsError: as for `draw_up`.
        OtherDigestError: as for `draw_up`.
        UsesUnknownError: more cannot be looked at now.
        LeaseLostError: the API server was not reached for too long, or this machine was asleep.
        WrittenMeanwhileError: the volume is written to without the lease.
        ClusterError: something failed half-way; the next collection finishes it.
    """

    async def look_again(registry: RegistryClient) -> tuple[Look, Plan]:
        seen = await look(kube, registry, outputs, protect=protect, helm=helm)
        if more := [str(each) for each in seen.unlisted if each not in unlisted]:
            raise UsesUnknownError(where=kube.where, kinds=tuple(more))
        return seen, draw_up(kube.where, seen, keep, among={image.key for image in agreed.doomed})

    return await _alone(kube, partial(_remove, kube, look_again, say), say)


async def _remove(
    kube: KubeClient,
    look_again: Callable[[RegistryClient], Awaitable[tuple[Look, Plan]]],
    say: Callable[[str], None],
    lease: Lease,
) -> Collected:
    files = await read_files(kube)
    async with open_door(kube, lease) as registry:
        before, going = await look_again(registry)
        await _delete(registry, going, say)
    if going.frees:  # or the registry may be empty, which its own collection takes for an error
        say("the registry removes what nothing needs")
        if written := (await read_files(kube)).items() - files.items():
            raise WrittenMeanwhileError(where=kube.where, count=len(written))
        await sweep(kube, lease)
    after = await read_storage(kube)
    freed = sum(before.storage.blobs.values()) - sum(after.blobs.values())
    return Collected(going.doomed, freed, after.room.free)


async def _alone(
    kube: KubeClient, work: Callable[[Lease], Awaitable[Collected]], say: Callable[[str], None]
) -> Collected:
    """Do something while nobody pushes; stop at once if that cannot be warranted any longer."""
    try:
        async with asyncio.timeout(None) as scope:
            loop = asyncio.get_running_loop()
            async with lease_held(kube, "registryctl gc", alone=True, say=say) as lease:
                lease.when_lost(lambda: scope.reschedule(loop.time()))
                return await work(lease)
    except TimeoutError:
        if scope.expired():
            raise LeaseLostError(where=kube.where) from None
        raise


async def _delete(registry: RegistryClient, going: Plan, say: Callable[[str], None]) -> None:
    for repository, tags in going.tags.items():
        for tag in tags:
            await registry.delete(repository, tag)
    for repository, digests in going.manifests.items():
        if digests:
            say(f"deleting {len(digests)} manifests of {repository}")
        for digest in digests:
            await registry.delete(repository, digest)
