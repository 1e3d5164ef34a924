"""The lease: pushes share a registry, a garbage collection has it alone.

A collection marks what is in use and then removes the rest; what is pushed in between would be removed with it. So
every push and every collection holds the Lease of the registry's namespace meanwhile. The object is changed by compare
and swap, so two that exclude each other never enter at once.

A holder renews its entry. The others remove an entry that has not changed for DURATION_SECONDS; a holder that could not
renew its own for LOST_SECONDS stops before that. The write door is opened with a lease only (tunnel.py, ADR 0019).
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
from http import HTTPStatus
from uuid import uuid4

from cluster.holders import Holder, Holders, Watch, lease_object, read_holders, timestamp
from cluster.kube import KubeClient
from cluster.polling import poll
from stack.api_errors import RefusedError
from stack.errors import KubeRegistryError, Where
from stack.housekeeping_errors import LeaseHeldError, LeaseLostError, LeaseUnreadableError
from stack.names import REGISTRY

LOST_SECONDS = 20.0
"""A holder that could not renew for that long stops: well before others take it for dead."""

RENEW_SECONDS = 5.0
"""How often a holder renews its entry."""

WAIT_SECONDS = 60.0
"""How long one waits for others: a dead holder is removed by then. A hook has 300 s for all that it waits for."""

_PAUSE = 1.0
_PATH = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
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
        seconds: how long others are waited for; 0 for not at all, WAIT_SECONDS if not set.

    Raises:
        LeaseHeldError: others did not end within `seconds`.
        LeaseUnreadableError: the Lease object is not ours.
        ForbiddenError: a right is missing.
    """
    key, mine = uuid4().hex[:8], Holder(f"{doing} of {_user()}@{socket.gethostname()}", alone, timestamp())
    try:
        lease = await _enter(kube, key, mine, say, WAIT_SECONDS if seconds is None else seconds)
        task = asyncio.ensure_future(_keep(kube, key, mine, lease))  # no TaskGroup: another task may end it
        try:
            yield lease
        finally:
            lease.give_back()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        with suppress(KubeRegistryError, TimeoutError):  # others remove the entry then
            async with asyncio.timeout(RENEW_SECONDS):
                await _change(kube, lambda holders: _without(holders, key) if key in holders else None)


async def lease_holders(kube: KubeClient) -> Holders:
    """Return all entries of the lease, of dead holders too.

    Raises:
        LeaseUnreadableError: the Lease object is not ours.
    """
    return _read(kube, await kube.find(f"{_PATH.format(namespace=kube.where.namespace)}/{REGISTRY}"))


async def _enter(kube: KubeClient, key: str, mine: Holder, say: Callable[[str], None], seconds: float) -> Lease:
    watch, told = Watch(), ""
    barring: list[str] = []

    def entered(holders: Holders) -> Holders | None:
        others = _without(watch.alive(holders, time.monotonic()), key)  # ours is there if only its answer was lost
        barring[:] = sorted(holder.who for holder in others.values() if holder.bars(mine))
        return None if barring else {**others, key: replace(mine, renewed=timestamp())}

    async def enter() -> Lease | None:
        nonlocal told
        began = _now()
        if await _change(kube, entered):
            return Lease(kube.where, began + LOST_SECONDS)
        if told != (told := ", ".join(barring)):
            say(f"waiting for {told}, at most {seconds:.0f} s")
        return None

    lease = await poll(enter, seconds=seconds, pause=_PAUSE)
    if lease is None:
        raise LeaseHeldError(where=kube.where, holders=tuple(barring), seconds=seconds)
    return lease


async def _keep(kube: KubeClient, key: str, mine: Holder, lease: Lease) -> None:
    """Renew the entry, and remove those of the dead, until that fails for LOST_SECONDS."""
    watch = Watch()

    def renewed(holders: Holders) -> Holders | None:
        if key not in holders:
            return None
        return {**watch.alive(holders, time.monotonic()), key: replace(mine, renewed=timestamp())}

    try:
        while (left := lease.ends - _now()) > 0:
            await asyncio.sleep(min(RENEW_SECONDS, left))
            if (began := _now()) >= lease.ends:
                break  # asleep meanwhile: others may have entered
            with suppress(KubeRegistryError, TimeoutError):
                async with asyncio.timeout(min(RENEW_SECONDS, lease.ends - began)):
                    if not await _change(kube, renewed):
                        break  # removed
                    lease.ends = began + LOST_SECONDS
    finally:
        lease.lose()


async def _change(kube: KubeClient, change: Callable[[Holders], Holders | None]) -> bool:
    """Change the entries by compare and swap; return whether they were changed.

    Args:
        kube: client of the registry's cluster.
        change: returns what shall be there in place of what is; None if it is to stay. Called again after a conflict.
    """
    path = _PATH.format(namespace=kube.where.namespace)
    while True:
        found = await kube.find(f"{path}/{REGISTRY}")
        wanted = change(_read(kube, found))
        if wanted is None:
            return False
        try:
            if found is None:
                await kube.create(path, lease_object(wanted, None), repeatable=True)
            else:
                await kube.replace(f"{path}/{REGISTRY}", lease_object(wanted, found))
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT:
                continue
            raise
        return True


def _read(kube: KubeClient, found: dict[str, object] | None) -> Holders:
    try:
        return read_holders(found)
    except ValueError as error:
        raise LeaseUnreadableError(where=kube.where, reason=str(error)) from error


def _without(holders: Holders, key: str) -> dict[str, Holder]:
    return {other: holder for other, holder in holders.items() if other != key}


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return str(os.getuid())
