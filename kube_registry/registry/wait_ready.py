"""Waiting for something to become ready that can tell what keeps it from that."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kube_registry.concurrency import poll
from kube_registry.errors import Where
from kube_registry.registry.errors import NotReadyError

PATIENCE_SECONDS = 8.0
"""How long something wrong is watched before it counts: a claim is unbound for a moment, a pull fails once."""

WARNING_PATIENCE_SECONDS = 30.0
"""The same where only an event says so: it tells of one failed try, and stays when the next succeeds.

A node tries again after 10 to 15 seconds (kubernetes pkg/kubelet, backOffPeriod and its jitter), and then pulls and
starts. A new pod's first try may fail by itself: the API server lets a node read a claim only once it knows of the pod.
"""

_PAUSE = 0.25


@dataclass(frozen=True)
class Standing:
    """How far something is; READY is the end.

    Args:
        words: what it lacks.
        wrong: whether that is more than "not yet".
        patience: how many seconds it may be wrong before that counts.
    """

    words: str
    wrong: bool = False
    patience: float = PATIENCE_SECONDS


READY = Standing("nothing")


async def watch(look: Callable[[], Awaitable[Standing]], *, where: Where, what: str, seconds: float) -> None:
    """Return once it is READY.

    Args:
        look: tells how far it is.
        where: named in errors, with `what`.
        what: what is waited for.
        seconds: how long to wait.

    Raises:
        NotReadyError: it was not by then, or something was wrong for longer than it may be.
    """
    started = fine = time.monotonic()
    standing = READY

    async def done() -> bool | None:
        nonlocal fine, standing
        standing = await look()
        now = time.monotonic()
        if not standing.wrong:
            fine = now
        return standing is READY or now - fine > standing.patience or None

    await poll(done, seconds=seconds, pause=_PAUSE)
    if standing is not READY:
        raise NotReadyError(where=where, what=what, seconds=time.monotonic() - started, reason=standing.words)
