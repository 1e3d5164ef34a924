"""The registry's pod is taken away again and again while images are pushed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kube_registry.push.push_path import PushPath
from kube_registry.tunnel.listener import Tunnel
from lab.errors import LabError
from tests.bench.registry import kubectl, pod_of, wait_ready
from tests.soak.place import Place
from tests.soak.pushes import Pushed, fresh_image, push, read_back

LATEST_SECONDS = 3.0
"""A push of one image takes about as long; the pod is killed at some moment of it."""

_WAYS = {"deleted": (), "killed": ("--grace-period=0", "--force")}
"""What is said of it -> options of `kubectl delete pod`."""


async def kill(place: Place, seed: int, times: int) -> str:
    """Push as many images, and take the pod away once during each.

    Args:
        place: the lab.
        seed: decides when and how the pod goes.
        times: how often.

    Raises:
        LabError: a push hung, or what was acknowledged cannot be read.
    """
    dice, seen = random.Random(seed), list[Pushed]()  # noqa: S311 - nothing is kept secret with it
    longest, hit = 0.0, 0
    async with held(place) as path:
        for number in range(1, times + 1):
            delay, way = dice.uniform(0, LATEST_SECONDS), dice.choice(list(_WAYS))
            image, start = await fresh_image(place, f"kill-{number}"), time.monotonic()
            pushed, open_then = await asyncio.gather(
                push(place, path, image, place.progress.say), _take_away(place, path, delay, way)
            )
            longest, hit = max(longest, took := time.monotonic() - start), hit + bool(open_then)
            ended = pushed.digest or f"one error: {pushed.error}"
            place.progress.say(
                f"[{number}/{times}] {way} after {delay:.2f} s with {open_then} connections open; "
                f"{pushed.tries} tries, {took:.1f} s: {ended}"
            )
            seen.append(pushed)
            await asyncio.to_thread(wait_ready, place.spec, place.settings)
            if pushed.digest:
                await read_back(place, pushed.digest)
        for pushed in seen:
            if pushed.digest:
                await read_back(place, pushed.digest)
    if unclear := [each for each in seen if not each.digest and not each.error]:
        raise LabError(f"{len(unclear)} pushes failed without a word.")
    whole = [each for each in seen if each.digest]
    again = sum(each.tries > 1 for each in whole)
    return (
        f"the registry's pod was killed {times} times during pushes, {hit} times with open connections: {len(whole)} "
        f"pushes succeeded, {again} of them after a retry by the program, {times - len(whole)} ended with one error, "
        f"none hung; the longest took {longest:.0f} s; all acknowledged images were read back, at once and at the end"
    )


@asynccontextmanager
async def held(place: Place) -> AsyncIterator[PushPath]:
    """A push path whose one tunnel stays open until the end."""
    path = PushPath(place.settings)
    await path.take("soak", lambda _, line: place.progress.say(line))
    try:
        yield path
    finally:
        await path.give_back("soak")


def tunnel_of(path: PushPath) -> Tunnel:
    """The tunnel that a push path holds."""
    if path._session._tunnel is None:
        raise LabError("The push path has no tunnel.")
    return path._session._tunnel


async def _take_away(place: Place, path: PushPath, delay: float, way: str) -> int:
    """Take the pod away after so many seconds; how many connections were open then."""
    await asyncio.sleep(delay)
    pod = (await asyncio.to_thread(pod_of, place.spec, place.settings))["metadata"]["name"]
    delete = ("delete", "pod", pod, f"--namespace={place.settings.namespace}", "--wait=false", *_WAYS[way])
    connections = len(tunnel_of(path).connections)
    await asyncio.to_thread(kubectl, place.spec, *delete)
    return connections
