"""The registry's pod is taken away again and again while blobs are pulled and small ones are pushed.

Pulled is what a node pulls, through the read door, and every byte is checked; pushed is through the tunnel.
"""

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from kube_registry.concurrency import poll
from lab.errors import LabError
from tests.bench.registry import kubectl, pod_of, wait_ready
from tests.bench.transfers import REPOSITORY, Blob, put
from tests.soak.kills import held
from tests.soak.place import Place
from tests.soak.pushes import READ_SECONDS

READERS = 3
LARGE, SMALL = 16 * 1024**2, 64 * 1024
"""Bytes of the blobs that are pulled all the time, and of those that are pushed all the time."""

LONGEST_SECONDS = 3.0
"""How long the registry may go on until its pod is taken away again."""

_ANSWER = aiohttp.ClientTimeout(total=60)
_PAUSE = 0.1
_WAYS = ((), ("--grace-period=0", "--force"))
"""Options of `kubectl delete pod`: with the time that a pod is given to end, and without."""


@dataclass
class Seen:
    """What has come of it so far.

    Attributes:
        kept: blobs that were acknowledged.
        whole: pulls of which every byte was right.
        broken: pulls that ended in an error, for all to see.
        refused: pushes that did.
    """

    kept: list[Blob] = field(default_factory=list)
    whole: int = 0
    broken: int = 0
    refused: int = 0


async def pull(place: Place, seed: int, times: int) -> str:
    """Pull and push until the pod was taken away so many times, then read all that was acknowledged.

    Args:
        place: the lab.
        seed: decides when and how the pod goes.
        times: how often.

    Raises:
        LabError: wrong bytes were served, or what was acknowledged is not there.
    """
    dice, seen = random.Random(seed), Seen()  # noqa: S311 - nothing is kept secret with it
    large = Blob.random(LARGE)
    async with held(place), doors(place) as (read, write):
        await asyncio.to_thread(put, place.settings.push_port, large)
        async with asyncio.TaskGroup() as load:
            going = [load.create_task(read_on(read, large, seen)) for _ in range(READERS)]
            going.append(load.create_task(push_on(write, seen)))
            for number in range(1, times + 1):
                await asyncio.sleep(dice.uniform(0, LONGEST_SECONDS))
                await asyncio.to_thread(_take_away, place, dice.choice(_WAYS))
                place.progress.say(f"[{number}/{times}] {seen.whole} pulls whole, {len(seen.kept)} pushes kept")
            for task in going:
                task.cancel()
        await read_all(read, [large, *seen.kept])
    return (
        f"the registry's pod was killed {times} times with {READERS} readers: {seen.whole} pulls of "
        f"{LARGE // 1024**2} MiB were correct, {seen.broken} ended with an error, none had wrong bytes; meanwhile "
        f"{len(seen.kept)} small pushes were acknowledged and {seen.refused} refused; all acknowledged blobs were read "
        "at the end"
    )


@asynccontextmanager
async def doors(
    place: Place, connector: aiohttp.TCPConnector | None = None
) -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession]]:
    """The read door by a node's address, on connections of a connector, and the write door through the tunnel."""
    host, port = place.read_door
    async with (
        aiohttp.ClientSession(f"http://{host}:{port}", timeout=_ANSWER, connector=connector) as read,
        aiohttp.ClientSession(f"http://{place.settings.endpoints.push_address}", timeout=_ANSWER) as write,
    ):
        yield read, write


async def read_on(door: aiohttp.ClientSession, blob: Blob, seen: Seen) -> None:
    """Read a blob again and again, and count how that ends."""
    while True:
        if await _read(door, blob):
            seen.whole += 1
        else:
            seen.broken += 1
            await asyncio.sleep(_PAUSE)


async def read_all(door: aiohttp.ClientSession, blobs: Sequence[Blob]) -> None:
    """Read blobs that were acknowledged.

    Raises:
        LabError: one is not there, or is not what it was.
    """
    for blob in blobs:
        if not await poll(partial(_there, door, blob), seconds=READ_SECONDS, pause=_PAUSE):
            raise LabError(f"The read door does not give {blob.digest}, which was acknowledged.")


async def _there(door: aiohttp.ClientSession, blob: Blob) -> bool | None:
    """Whether a blob can be read; None while the node port leads to the pod that was killed last, or nowhere."""
    return await _read(door, blob) or None


async def _read(door: aiohttp.ClientSession, blob: Blob) -> bool:
    """Read a blob; whether it came to a good end.

    Raises:
        LabError: it did, and was not what it was, or the registry knows nothing of it.
    """
    found = hashlib.sha256()
    try:
        async with door.get(f"/v2/{REPOSITORY}/blobs/{blob.digest}") as answer:
            if answer.status == 404:
                raise LabError(f"The read door knows nothing of {blob.digest}, which was acknowledged.")
            answer.raise_for_status()
            async for part in answer.content.iter_any():
                found.update(part)
    except (aiohttp.ClientError, TimeoutError):
        return False
    if f"sha256:{found.hexdigest()}" != blob.digest:
        raise LabError(f"The read door has served other bytes for {blob.digest}, and called them whole.")
    return True


async def push_on(door: aiohttp.ClientSession, seen: Seen) -> None:
    """Push small blobs, one after the other, and keep those that were acknowledged."""
    while True:
        blob = Blob.of(os.urandom(SMALL))
        try:
            async with door.post(f"/v2/{REPOSITORY}/blobs/uploads/") as begun:
                begun.raise_for_status()
                place = begun.headers["Location"]
            async with door.put(place, params={"digest": blob.digest}, data=blob.content) as stored:
                stored.raise_for_status()
            seen.kept.append(blob)
        except (aiohttp.ClientError, TimeoutError):
            seen.refused += 1
        await asyncio.sleep(_PAUSE)


def _take_away(place: Place, options: tuple[str, ...]) -> None:
    """Delete the pod, and return when the next one runs."""
    pod = pod_of(place.spec, place.settings)["metadata"]["name"]
    kubectl(place.spec, "delete", "pod", pod, f"--namespace={place.settings.namespace}", *options)
    wait_ready(place.spec, place.settings)
