"""The lease: pushes share a registry, a garbage collection has it alone.

A collection marks what is in use and then removes the rest; what is pushed in between would be removed with it. So
whoever pushes and whoever collects stand in one Lease of the registry's namespace while they do. The annotation lists
them, because a Lease by itself has room for one; it is written by compare and swap, so two never enter at once.

A holder renews its entry. One whose entry has not changed for DURATION_SECONDS by the clock of whoever waits is dead
and is struck out; clocks of different machines are never compared (as client-go's leader election).
"""

import asyncio
import getpass
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from cluster.kube import KubeClient
from cluster.polling import poll
from stack.api_errors import RefusedError
from stack.errors import KubeRegistryError
from stack.housekeeping_errors import LeaseHeldError
from stack.names import REGISTRY, labels

DURATION_SECONDS = 30.0
"""After that time without a sign of life a holder is taken for dead."""

LOST_SECONDS = 20.0
"""After that time without being heard a holder takes itself for dead, and stops: well before others do."""

RENEW_SECONDS = 5.0
"""How often a holder gives a sign of life."""

WAIT_SECONDS = 60.0
"""How long one waits for others: a dead holder is struck out by then. A hook has 300 s for all that it waits for."""

_PAUSE = 1.0
_HOLDERS = "kube-registry/holders"
_PATH = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


@dataclass(frozen=True)
class Holder:
    """An entry of the lease.

    Args:
        who: user, machine and what they do, for people.
        alone: whether it shares the registry with nobody.
        renewed: when it last gave a sign of life, by its own clock.
    """

    who: str
    alone: bool
    renewed: str

    def bars(self, other: "Holder") -> bool:
        """Whether one of the two has to wait for the other's end."""
        return self.alone or other.alone


Holders = Mapping[str, Holder]
"""Those that hold a lease, by an id of their own."""


@dataclass
class Watch:
    """Who among the holders is alive, as one that looks again and again can tell."""

    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def alive(self, holders: Holders, now: float) -> dict[str, Holder]:
        """Those that have given a sign of life within DURATION_SECONDS, or were not seen for that long yet.

        Args:
            holders: as the lease has them now.
            now: seconds of a clock that only goes on.
        """
        self._seen = {
            key: seen if (seen := self._seen.get(key)) and seen[0] == holder.renewed else (holder.renewed, now)
            for key, holder in holders.items()
        }
        return {key: holder for key, holder in holders.items() if now - self._seen[key][1] < DURATION_SECONDS}


@asynccontextmanager
async def lease_held(
    kube: KubeClient, doing: str, *, alone: bool, say: Callable[[str], None], lost: Callable[[], object]
) -> AsyncIterator[None]:
    """Hold the registry's lease, alone or with others who share it.

    Args:
        kube: client of the registry's cluster.
        doing: what others who wait are told that we do.
        alone: whether to keep everybody else out.
        say: told for whom is waited.
        lost: called once if the lease cannot be kept any longer; what it is held for has to stop then.

    Raises:
        LeaseHeldError: others did not end within WAIT_SECONDS.
        ForbiddenError: a right is missing.
    """
    key, mine = uuid4().hex[:8], Holder(f"{doing} of {_user()}@{socket.gethostname()}", alone, _now())
    await _enter(kube, key, mine, say)
    task = asyncio.ensure_future(_keep(kube, key, mine, lost))  # no TaskGroup: another task may end it than began it
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(KubeRegistryError):  # whoever waits takes it over
            await _change(kube, lambda holders: {other: holders[other] for other in holders if other != key})


async def lease_holders(kube: KubeClient) -> Holders:
    """Those that stand in the lease, dead or alive."""
    return _holders(await kube.find(f"{_PATH.format(namespace=kube.where.namespace)}/{REGISTRY}"))


async def _enter(kube: KubeClient, key: str, mine: Holder, say: Callable[[str], None]) -> None:
    watch, told = Watch(), ""
    barring: list[str] = []

    def entered(holders: Holders) -> Holders | None:
        alive = watch.alive(holders, time.monotonic())
        barring[:] = sorted(holder.who for holder in alive.values() if holder.bars(mine))
        return None if barring else {**alive, key: replace(mine, renewed=_now())}

    async def enter() -> bool | None:
        nonlocal told
        if await _change(kube, entered):
            return True
        if told != (told := ", ".join(barring)):
            say(f"waiting for {told}, at most {WAIT_SECONDS:.0f} s")
        return None

    if not await poll(enter, seconds=WAIT_SECONDS, pause=_PAUSE):
        raise LeaseHeldError(where=kube.where, holders=tuple(barring), seconds=WAIT_SECONDS)


async def _keep(kube: KubeClient, key: str, mine: Holder, lost: Callable[[], object]) -> None:
    """Give signs of life until it is in vain."""

    def renewed(holders: Holders) -> Holders | None:
        return {**holders, key: replace(mine, renewed=_now())} if key in holders else None

    heard = time.monotonic()
    while time.monotonic() - heard < LOST_SECONDS:
        await asyncio.sleep(RENEW_SECONDS)
        began = time.monotonic()
        with suppress(KubeRegistryError, TimeoutError):
            async with asyncio.timeout(RENEW_SECONDS):
                if not await _change(kube, renewed):
                    break  # struck out
                heard = began
    lost()


async def _change(kube: KubeClient, change: Callable[[Holders], Holders | None]) -> bool:
    """Change who holds the lease, against what is there at that very moment; whether it was to be changed.

    Args:
        kube: client of the registry's cluster.
        change: what shall be there in place of what is; None if it is to stay. Asked again if somebody was faster.
    """
    path = _PATH.format(namespace=kube.where.namespace)
    while True:
        found = await kube.find(f"{path}/{REGISTRY}")
        wanted = change(_holders(found))
        if wanted is None:
            return False
        try:
            if found is None:
                await kube.create(path, _lease(wanted, {}))
            else:
                version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                await kube.replace(f"{path}/{REGISTRY}", _lease(wanted, version))
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT:
                continue
            raise
        return True


def _holders(lease: Mapping[str, Any] | None) -> Holders:
    text = (lease or {}).get("metadata", {}).get("annotations", {}).get(_HOLDERS, "{}")
    return {key: Holder(**entry) for key, entry in json.loads(text).items()}


def _lease(holders: Holders, version: Mapping[str, str]) -> dict[str, Any]:
    """The object; its spec is for those who look at it with kubectl."""
    entries = json.dumps({key: asdict(holder) for key, holder in holders.items()}, indent=1)
    spec: dict[str, Any] = {"leaseDurationSeconds": int(DURATION_SECONDS), "renewTime": _now()}
    if holders:
        spec["holderIdentity"] = ", ".join(sorted(holder.who for holder in holders.values()))
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": REGISTRY, "labels": labels("lease"), "annotations": {_HOLDERS: entries}, **version},
        "spec": spec,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return str(os.getuid())
