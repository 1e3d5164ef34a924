"""The lease: pushes share a registry, a garbage collection has it alone.

A collection marks what is in use and then removes the rest; what is pushed in between would be removed with it. So
every push and every collection holds the Lease of the registry's namespace meanwhile. The object is changed by compare
and swap, so two that exclude each other never enter at once.

A holder renews its entry. The others remove an entry that has not changed for DURATION_SECONDS; a holder that could not
renew its own for LOST_SECONDS stops before that. The write door is opened with a lease only (ADR 0019).
"""

import asyncio
import getpass
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

from kube_registry.concurrency import meanwhile, poll
from kube_registry.errors import KubeRegistryError, Where
from kube_registry.kube.client import KubeClient
from kube_registry.lease.entries import Entries
from kube_registry.lease.errors import LeaseHeldError, LeaseLostError
from kube_registry.lease.holders import Holder, Holders, Observer, seconds_until_known, timestamp
from kube_registry.limits import LEASE_SECONDS

LOST_SECONDS = 20.0
"""A holder that could not renew for that long stops: well before others take it for dead."""

RENEW_SECONDS = 5.0
"""How often a holder renews its entry."""

_PAUSE = 1.0
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time in which the machine sleeps: on Linux the first, on macOS the second, time.monotonic() on neither."""


@dataclass
class Lease:
    """A holder's own view of its entry; `lease_held` makes it.

    Args:
        where: the registry.
        ends: reading of the clock from which on the entry may have been removed; infinite for one that never is.
    """

    where: Where
    ends: float = math.inf
    _lost: bool = False
    _stops: list[Callable[[], object]] = field(default_factory=list)

    def held(self) -> bool:
        """Return whether it is still held; if not, what it was held for is stopped. Cheap: asked for every message."""
        if self._lost or _now() >= self.ends:
            self.lose()
        return not self._lost

    def check(self) -> None:
        """Return if it is still held.

        Raises:
            LeaseLostError: it was not renewed in time, or its entry was removed.
        """
        if not self.held():
            raise LeaseLostError(where=self.where)

    def lose(self) -> None:
        """Hold it no longer, and stop what it was held for."""
        stops = self._stops[:]
        self.give_back()
        for stop in stops:
            stop()

    def give_back(self) -> None:
        """Hold it no longer; what it was held for has ended."""
        self._lost = True
        self._stops.clear()

    def when_lost(self, stop: Callable[[], object]) -> None:
        """Have something called, once, when it is lost.

        Raises:
            LeaseLostError: it is lost already.
        """
        self.check()
        self._stops.append(stop)


@asynccontextmanager
async def lease_held(
    kube: KubeClient, doing: str, *, alone: bool, say: Callable[[str], None], seconds: float | None = None
) -> AsyncIterator[Lease]:
    """Hold the registry's lease, alone or with others who share it.

    Args:
        kube: client of the registry's cluster.
        doing: what we do, for others who have to wait.
        alone: whether to keep all others out.
        say: gets a line that names those who have to be waited for.
        seconds: how long others are waited for; 0 for not at all, LEASE_SECONDS if not set.

    Raises:
        LeaseHeldError: others did not end within `seconds`.
        LeaseLostError: it was lost before it could be used.
        LeaseUnreadableError: the Lease object is not ours.
        RefusedError: the API server refuses to change the Lease; ForbiddenError if a right is missing.
    """
    entries = Entries(kube)
    key, mine = uuid4().hex[:8], Holder(f"{doing} of {_user()}@{socket.gethostname()}", alone, timestamp())
    try:
        lease = await _enter(entries, key, mine, say, LEASE_SECONDS if seconds is None else seconds)
        new = seconds_until_known(entries.stored or {}) if alone else 0.0
        async with meanwhile(_keep(entries, key, mine, lease)):
            try:
                if new:
                    say(
                        "the Lease is new, so holders of a deleted one may go on: "
                        f"waiting {new:.0f} s for them to notice"
                    )
                    await asyncio.sleep(new)
                    lease.check()
                yield lease
            finally:
                lease.give_back()
    finally:
        with suppress(KubeRegistryError, TimeoutError):  # others remove the entry then
            async with asyncio.timeout(RENEW_SECONDS):
                await entries.change(
                    lambda holders: _without(holders, key) if key in holders else None, each=RENEW_SECONDS
                )


async def lease_holders(kube: KubeClient) -> Holders:
    """Return all entries of the lease, of dead holders too.

    Raises:
        LeaseUnreadableError: the Lease object is not ours.
    """
    return await Entries(kube).read()


async def _enter(entries: Entries, key: str, mine: Holder, say: Callable[[str], None], seconds: float) -> Lease:
    observer, told, began = Observer(), "", 0.0
    barring: list[str] = []

    def entered(holders: Holders) -> Holders | None:
        nonlocal began
        began = _now()
        others = _without(observer.alive(holders, time.monotonic()), key)  # ours is there if only its answer was lost
        barring[:] = sorted(holder.who for holder in others.values() if holder.bars(mine))
        return None if barring else {**others, key: replace(mine, renewed=timestamp())}

    async def enter() -> Lease | None:
        nonlocal told
        await entries.read()
        if await entries.change(entered):
            return Lease(entries.kube.where, began + LOST_SECONDS)
        if told != (told := ", ".join(barring)):
            say(f"waiting for {told}, at most {seconds:.0f} s")
        return None

    lease = await poll(enter, seconds=seconds, pause=_PAUSE)
    if lease is None:
        raise LeaseHeldError(where=entries.kube.where, holders=tuple(barring), seconds=seconds)
    return lease


async def _keep(entries: Entries, key: str, mine: Holder, lease: Lease) -> None:
    """Renew the entry, and remove those of the dead, until that fails for LOST_SECONDS."""
    observer, began = Observer(), 0.0

    def renewed(holders: Holders) -> Holders | None:
        nonlocal began
        began = _now()
        if key not in holders:
            return None
        return {**observer.alive(holders, time.monotonic()), key: replace(mine, renewed=timestamp())}

    try:
        while (left := lease.ends - _now()) > 0:
            await asyncio.sleep(min(RENEW_SECONDS, left))
            if (left := lease.ends - _now()) <= 0:
                break  # asleep meanwhile: others may have entered
            with suppress(KubeRegistryError, TimeoutError):
                async with asyncio.timeout(left):  # several requests after a conflict, each with a bound of its own
                    if not await entries.change(renewed, each=RENEW_SECONDS):
                        break  # removed
                    lease.ends = began + LOST_SECONDS
    finally:
        lease.lose()


def _without(holders: Holders, key: str) -> dict[str, Holder]:
    return {other: holder for other, holder in holders.items() if other != key}


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return str(os.getuid())
