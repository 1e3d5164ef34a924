"""The lease of a registry: shared by pushes, exclusive for a garbage collection.

A collection marks what is in use and then removes the rest, which would include what is pushed in between. Therefore
every push and every collection holds the Lease in the registry's namespace. The object is changed by compare and swap,
so two holders that exclude each other never hold it at the same time.

A holder renews its entry. Others remove an entry that has not changed for DURATION_SECONDS. A holder that could not
renew its entry for LOST_SECONDS stops before that. The write door is only opened with a lease (ADR 0019).
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
"""A holder that could not renew for this long stops, well before others consider it dead."""

RENEW_SECONDS = 5.0
"""How often a holder renews its entry."""

_PAUSE = 1.0
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that includes the time in which the machine sleeps: the first on Linux, the second on macOS.
time.monotonic() does so on neither."""


@dataclass
class Lease:
    """A holder's view of its own entry; `lease_held` creates it.

    Args:
        where: the registry.
        ends: time of the clock from which the entry may have been removed; infinite if it never is.
    """

    where: Where
    ends: float = math.inf
    _lost: bool = False
    _stops: list[Callable[[], object]] = field(default_factory=list)

    def held(self) -> bool:
        """Return whether the lease is held; if it is lost, stop the work. Cheap: called for every message."""
        if self._lost or _now() >= self.ends:
            self.lose()
        return not self._lost

    def check(self) -> None:
        """Check that the lease is held.

        Raises:
            LeaseLostError: it was not renewed in time, or its entry was removed.
        """
        if not self.held():
            raise LeaseLostError(where=self.where)

    def lose(self) -> None:
        """Mark the lease as lost, and call the functions given to `when_lost`."""
        stops = self._stops[:]
        self.give_back()
        for stop in stops:
            stop()

    def give_back(self) -> None:
        """Mark the lease as released; the work has ended."""
        self._lost = True
        self._stops.clear()

    def when_lost(self, stop: Callable[[], object]) -> None:
        """Register a function to call once when the lease is lost.

        Raises:
            LeaseLostError: the lease is already lost.
        """
        self.check()
        self._stops.append(stop)


@asynccontextmanager
async def lease_held(
    kube: KubeClient, doing: str, *, alone: bool, say: Callable[[str], None], seconds: float | None = None
) -> AsyncIterator[Lease]:
    """Hold the registry's lease, shared or exclusive, while the block runs.

    Args:
        kube: client of the registry's cluster.
        doing: what this program does, shown to others that have to wait.
        alone: whether to hold it exclusively.
        say: prints a line that names the holders to wait for.
        seconds: how long to wait for other holders; 0 for no wait, LEASE_SECONDS by default.

    Raises:
        LeaseHeldError: other holders did not finish within `seconds`.
        LeaseLostError: the lease was lost before it could be used.
        LeaseUnreadableError: the entries cannot be parsed.
        RefusedError: the API server refused to change the Lease; ForbiddenError if a permission is missing.
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
                        "the Lease was just created, and holders of a deleted one may still be working: "
                        f"waiting {new:.0f} s until they have stopped"
                    )
                    await asyncio.sleep(new)
                    lease.check()
                yield lease
            finally:
                lease.give_back()
    finally:
        with suppress(KubeRegistryError, TimeoutError):  # then others remove the entry
            async with asyncio.timeout(RENEW_SECONDS):
                await entries.change(
                    lambda holders: _without(holders, key) if key in holders else None, each=RENEW_SECONDS
                )


async def lease_holders(kube: KubeClient) -> Holders:
    """Return all entries of the lease, those of dead holders included.

    Raises:
        LeaseUnreadableError: the entries cannot be parsed.
    """
    return await Entries(kube).read()


async def _enter(entries: Entries, key: str, mine: Holder, say: Callable[[str], None], seconds: float) -> Lease:
    observer, shown, began = Observer(), "", 0.0
    blocking: list[str] = []

    def entered(holders: Holders) -> Holders | None:
        nonlocal began
        began = _now()
        others = _without(observer.alive(holders, time.monotonic()), key)  # ours is there if only the response was lost
        blocking[:] = sorted(holder.who for holder in others.values() if holder.excludes(mine))
        return None if blocking else {**others, key: replace(mine, renewed=timestamp())}

    async def enter() -> Lease | None:
        nonlocal shown
        await entries.read()
        if await entries.change(entered):
            return Lease(entries.kube.where, began + LOST_SECONDS)
        if shown != (shown := ", ".join(blocking)):
            say(f"waiting for {shown}, at most {seconds:.0f} s")
        return None

    lease = await poll(enter, seconds=seconds, pause=_PAUSE)
    if lease is None:
        raise LeaseHeldError(where=entries.kube.where, holders=tuple(blocking), seconds=seconds)
    return lease


async def _keep(entries: Entries, key: str, mine: Holder, lease: Lease) -> None:
    """Renew the entry and remove those of dead holders, until that fails for LOST_SECONDS."""
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
                break  # the machine was asleep: others may hold the lease now
            with suppress(KubeRegistryError, TimeoutError):
                async with asyncio.timeout(left):  # a conflict takes several requests, each with its own timeout
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
    except (KeyError, OSError):  # in a container the user may have no name
        return str(os.getuid())
