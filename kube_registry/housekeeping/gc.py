"""A garbage collection: manifests deleted through the write door, then the registry's own sweep in its pod.

Nobody pushes meanwhile, by the lease; pulls go on. It may be broken off at any moment: what is deleted is what the plan
had named, and the next one finishes the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kube_registry.housekeeping.errors import UsesUnknownError, WrittenMeanwhileError
from kube_registry.housekeeping.gc_plan import Keep, Plan, plan_gc
from kube_registry.housekeeping.inventory import Image, take_inventory
from kube_registry.housekeeping.kinds import Unlisted
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
        outputs: as for `take_inventory`.
        keep: as for `plan`.
        agreed: the plan that a person has seen; nothing else goes.
        say: told of every step.
        protect: as for `take_inventory`.
        helm: as for `take_inventory`.
        unlisted: what could not be looked at, as that person has seen.

    Raises:
        LeaseHeldError: somebody pushes and does not end.
        DamagedManifestsError: as for `plan_gc`.
        OtherDigestError: as for `plan_gc`.
        UsesUnknownError: more cannot be looked at now.
        LeaseLostError: the API server was not reached for too long, or this machine was asleep.
        WrittenMeanwhileError: the volume is written to without the lease.
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
        if going.frees:  # or the registry may be empty, which its own collection takes for an error
            say("the registry removes what nothing needs")
            if written := (await read_files(kube)).items() - files.items():
                raise WrittenMeanwhileError(where=kube.where, count=len(written))
            await sweep(kube, lease)
        after = await read_storage(kube)
    freed = sum(before.storage.blobs.values()) - sum(after.blobs.values())
    return Collected(going.doomed, freed, after.room.free)


@asynccontextmanager
async def _lease_alone(kube: KubeClient, say: Callable[[str], None]) -> AsyncIterator[Lease]:
    """Hold the lease alone, which keeps pushes out; end the work at once when the lease is lost."""
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
        say(f"deleting {len(digests)} manifests of {repository}")
        for digest in digests:
            await registry.delete(repository, digest)
