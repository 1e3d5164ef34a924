"""One of two replicas on a bucket is taken away again and again while blobs are pulled and small ones are pushed."""

import asyncio
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import aiohttp

from kube_registry.kube.pods import is_ready
from tests.bench.registry import bucket_secrets, deploy, kubectl, pods_of, settings_for, wait_ready
from tests.bench.transfers import Blob, put
from tests.s3_server import s3_server
from tests.soak.kills import held
from tests.soak.place import Place
from tests.soak.pulls import LARGE, Seen, doors, push_on, read_all, read_on

READERS = 8
EVERY_SECONDS = 10.0
NAMESPACE, NODE_PORT, PUSH_PORT = "kube-registry-s3", 30_101, 19_972
_WAYS = {"deleted": (), "killed": ("--grace-period=0", "--force")}
"""With the time that a pod is given to end, and without."""


async def kill_replicas(place: Place, seed: int, seconds: float) -> str:
    """Pull and push for so many seconds while a replica goes every EVERY_SECONDS; then read all that was acknowledged.

    Args:
        place: the lab.
        seed: decides which replica goes, and how.
        seconds: how long.

    Raises:
        LabError: wrong bytes were served, or what was acknowledged is not there.
    """
    with tempfile.TemporaryDirectory() as folder, s3_server(place.spec.host_address, Path(folder)) as server:
        server.create_bucket("images")
        bucket = {"namespace": NAMESPACE, "nodePort": NODE_PORT, "replicas": 2, "s3": server.settings("images")}
        there = replace(place, settings=settings_for(place.spec, PUSH_PORT, **bucket))
        deploy(there.spec, there.settings, *bucket_secrets(there.settings))
        try:
            return await _kill(there, random.Random(seed), seconds)  # noqa: S311 - nothing is kept secret with it
        finally:
            kubectl(place.spec, "delete", "namespace", NAMESPACE, "--wait=false")


async def _kill(place: Place, dice: random.Random, seconds: float) -> str:
    seen, large, gone = Seen(), Blob.random(LARGE), dict.fromkeys(_WAYS, 0)
    broken = dict.fromkeys(_WAYS, 0)
    async with held(place), doors(place, aiohttp.TCPConnector(force_close=True)) as (read, write):
        await asyncio.to_thread(put, place.settings.push_port, large)
        async with asyncio.TaskGroup() as load:
            going = [load.create_task(read_on(read, large, seen)) for _ in range(READERS)]
            going.append(load.create_task(push_on(write, seen)))
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                way, before = dice.choice(list(_WAYS)), seen.broken
                pods = await asyncio.to_thread(_pods, place)
                await asyncio.to_thread(_take_away, place, dice.choice(pods), way)
                await asyncio.sleep(EVERY_SECONDS)  # is the fault itself
                await asyncio.to_thread(wait_ready, place.spec, place.settings)
                gone[way], broken[way] = gone[way] + 1, broken[way] + seen.broken - before
                place.progress.say(f"{way}: {seen.whole} pulls whole, {broken} broken, {len(seen.kept)} pushes kept")
            for task in going:
                task.cancel()
        await read_all(read, [large, *seen.kept])
    return (
        f"{READERS} readers, for {seconds:.0f} s: {seen.whole} pulls of {LARGE // 1024**2} MiB were correct, none had "
        f"wrong bytes; {broken['deleted']} ended with an error while one of two replicas was deleted {gone['deleted']} "
        f"times, and {broken['killed']} while one was killed without a grace period {gone['killed']} times; "
        f"{len(seen.kept)} small pushes were acknowledged and {seen.refused} refused; all acknowledged blobs were read "
        "at the end"
    )


def _pods(place: Place) -> list[str]:
    """The names of the ready pods that stay."""
    there = (pod for pod in pods_of(place.spec, place.settings) if is_ready(pod))
    return sorted(pod["metadata"]["name"] for pod in there)


def _take_away(place: Place, pod: str, way: str) -> None:
    kubectl(place.spec, "delete", "pod", pod, f"--namespace={NAMESPACE}", "--wait=false", *_WAYS[way])
