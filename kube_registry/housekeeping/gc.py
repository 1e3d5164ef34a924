"""A garbage collection: manifests deleted through the write door, then the registry's own sweep in its pod.

The lease prevents pushes meanwhile; pulls continue. A collection may be interrupted at any moment: it deletes only what
its plan contains, and the next one finishes the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kube_registry.housekeeping.errors import UsesUnknownError, WrittenMeanwhileError
from kube_registry.housekeeping.gc_plan import Keep, Plan, plan_gc
from kube_registry.housekeeping.inventory import Image, take_inventory
from kube_registry.housekeeping.kinds import Unlisted
from kube_registry.housekeeping.last_collection import record_collection
from kube_registry.housekeeping.protection import Protection
from kube_registry.housekeeping.sweep import sweep
from kube_registry.housekeeping.usage import Use
from kube_registry.housekeeping.volume_listing import read_files, read_storage
from kube_registry.kube.client import KubeClient
from kube_registry.lease.errors import LeaseLostError
from kube_registry.lease.lease import Lease, lease_held
from kube_registry.registry.api import RegistryClient
from kube_registry.registry.door import open_door
from kube_registry.text import counted


@dataclass(frozen=True)
class Collected:
    """The result of a collection.

    Args:
        images: removed images.
        freed: bytes of removed blobs, from the volume's listings before and after.
        free: bytes that are free now.
    """

    images: tuple[Image, ...]
    freed: int
    free: int


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
    """Remove the images that the user has confirmed and that are still unused, and free their space.

    Args:
        kube: client of the registry's cluster.
        outputs: see `take_inventory`.
        keep: see `plan`.
        agreed: the plan that the user has confirmed; nothing else is removed.
        say: called with a line for every step.
        protect: see `take_inventory`.
        helm: see `take_inventory`.
        unlisted: what could not be listed, as the user has confirmed.

    Raises:
        LeaseHeldError: a push is running and does not end.
        DamagedManifestsError: see `plan_gc`.
        OtherDigestError: see `plan_gc`.
        UsesUnknownError: more cannot be listed now.
        LeaseLostError: the API server was unreachable for too long, or this machine was suspended.
        WrittenMeanwhileError: the volume was written to without the lease.
        ClusterError: something failed half-way; the next collection finishes it.
    """
    async with _lease_alone(kube, say) as lease:
        files = await read_files(kube)
        before = await take_inventory(kube, outputs, protect=protect, helm=helm)
        if more := [str(each) for each in before.unlisted if each not in unlisted]:
            raise UsesUnknownError(where=kube.where, kinds=tuple(more))
        going = plan_gc(kube.where, before, keep, among={image.key for image in agreed.doomed})
        async with open_door(kube, lease) as registry:
            await _delete(registry, going, say)
        if going.frees:  # or the registry may be empty, which is an error for its own collection
            say("removing unused blobs from the registry")
            if written := (await read_files(kube)).items() - files.items():
                raise WrittenMeanwhileError(where=kube.where, count=len(written))
            await sweep(kube, lease)
        after = await read_storage(kube)
        await record_collection(kube)
    freed = sum(before.storage.blobs.values()) - sum(after.blobs.values())
    return Collected(going.doomed, freed, after.room.free)


@asynccontextmanager
async def _lease_alone(kube: KubeClient, say: Callable[[str], None]) -> AsyncIterator[Lease]:
    """Hold the lease exclusively, which prevents pushes; end the work at once when the lease is lost."""
    try:
        async with asyncio.timeout(None) as scope:
            loop = asyncio.get_running_loop()
            async with lease_held(kube, "registryctl gc", alone=True, say=say) as lease:
                lease.when_lost(lambda: scope.reschedule(loop.time()))
                yield lease
    except TimeoutError:
        if scope.expired():
            raise LeaseLostError(where=kube.where) from None
        raise


async def _delete(registry: RegistryClient, going: Plan, say: Callable[[str], None]) -> None:
    for repository, tag in going.tags:
        await registry.delete(repository, tag)
    for repository, digests in going.manifests.items():
        say(f"deleting {counted(len(digests), 'manifest')} of {repository}")
        for digest in digests:
            await registry.delete(repository, digest)
