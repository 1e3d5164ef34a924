"""The API server stops answering in the middle of a push, as a dead machine does: no reset, no end, nothing."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kube_registry.concurrency import poll
from kube_registry.kube.translate import REQUEST_SECONDS
from kube_registry.tunnel.listener import Tunnel
from kube_registry.tunnel.watch import STRIKES, WATCH_SECONDS
from lab import control_plane
from lab.errors import LabError
from lab.spec import ClusterSpec
from tests.soak.kills import held, tunnel_of
from tests.soak.place import Place
from tests.soak.pushes import fresh_image, push, read_back

MIDDLE_BYTES = (5_000_000, 40_000_000)
"""How much of the image's 50 MB has gone through the tunnel when the API server is frozen: between these."""

MIDDLE_SECONDS = 60.0

CUT_SECONDS = WATCH_SECONDS + STRIKES * (WATCH_SECONDS + REQUEST_SECONDS) + 5.0
"""The bound of the watch: one look that comes too early, so many in vain, each answered by silence, and the cut."""


async def freeze(place: Place, seed: int) -> str:
    """Push an image and freeze the API server in the middle, until the push has ended; then push another.

    Args:
        place: the lab.
        seed: decides when.

    Raises:
        LabError: a push hung, the tunnel did not cut what hung, or the push after the thaw failed.
    """
    sent, say = random.Random(seed).randint(*MIDDLE_BYTES), place.progress.say  # noqa: S311 - nothing is kept secret
    async with held(place) as path:
        tunnel = tunnel_of(path)
        pushing = asyncio.ensure_future(push(place, path, await fresh_image(place, "frozen"), say))
        await _sent(tunnel, sent)
        with frozen_api_server(place.spec):
            start = time.monotonic()
            await _hanging_are_cut(tunnel)
            cut = time.monotonic() - start
            say(f"frozen after {sent / 1e6:.0f} MB; what hung was cut after {cut:.1f} s")
            pushed = await pushing
            took = time.monotonic() - start
    async with held(place) as path:  # the next update; one that is under way asks once whether the registry is ready
        after = await push(place, path, await fresh_image(place, "thawed"), say)
    if not after.digest:
        raise LabError(f"The push after the thaw failed: {after.error}")
    for each in (pushed, after):
        if each.digest:
            await read_back(place, each.digest)
    ended = "succeeded" if pushed.digest else f'ended with one error ("{pushed.error}")'
    return (
        f"the API server was frozen after {sent / 1e6:.0f} MB of a push: the hung connections were cut after "
        f"{cut:.0f} s (limit {CUT_SECONDS:.0f} s), the push {ended} after {took:.0f} s (attempts by the program: "
        f"{pushed.tries}); the next push, after the API server continued, succeeded"
    )


async def _sent(tunnel: Tunnel, count: int) -> None:
    """Return when that many bytes more have gone through the tunnel."""
    before = tunnel.traffic.sent

    async def enough() -> bool | None:
        return tunnel.traffic.sent - before >= count or None

    if not await poll(enough, seconds=MIDDLE_SECONDS, pause=0.01):
        raise LabError(f"Less than {count} bytes of the push went through the tunnel.")


async def _hanging_are_cut(tunnel: Tunnel) -> None:
    """Return when the connections that are open now have ended."""
    hanging = list(tunnel.connections)

    async def gone() -> bool | None:
        return not any(link is each for link in hanging for each in tunnel.connections) or None

    if not hanging or not await poll(gone, seconds=CUT_SECONDS, pause=0.1):
        raise LabError(f"{len(hanging)} connections hung, and were not cut within {CUT_SECONDS:.0f} s.")


@contextmanager
def frozen_api_server(spec: ClusterSpec) -> Iterator[None]:
    """Stop a cluster's API server, and let it go on at the end."""
    process = control_plane.machine_of(spec).process("kube-apiserver")
    if not process or not process.alive:
        raise LabError("The API server does not run.")
    parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for stopped in (process.pid, parent):  # nsenter stops itself when its child is stopped
            os.kill(stopped, signal.SIGCONT)
