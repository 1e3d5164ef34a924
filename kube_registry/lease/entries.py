"""Read the entries of the registry's Lease object, and change them by compare and swap.

The last stored object is kept, so that a change takes one request if no other process has written. Every request
counts with a slow API server, because a holder has to renew its entry within LOST_SECONDS (lease.py).
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.lease.holders import Holders, lease_object, read_holders
from kube_registry.names import REGISTRY

CONFLICT_SECONDS = 15.0
"""How long a change is retried while every write is refused with 409; after that the last refusal is raised."""

_PAUSE = 0.2
_GROUP = "coordination.k8s.io/v1"


@dataclass
class Entries:
    """One process's view of the entries.

    Args:
        kube: client of the registry's cluster.
        stored: the Lease object in the API server's last response; None if it does not exist.
    """

    kube: KubeClient
    stored: Mapping[str, Any] | None = None
    _is_current: bool = False

    async def read(self, *, each: float | None = None) -> Holders:
        """Read all entries, those of dead holders included.

        Args:
            each: timeout of the request in seconds; None for the client's own timeout.

        Raises:
            LeaseUnreadableError: the entries cannot be parsed.
            TimeoutError: the request took longer than `each`.
        """
        async with asyncio.timeout(each):
            self.stored = await self._client(each).find(self._path(REGISTRY))
        self._is_current = True
        return read_holders(self.stored, self.kube.where)

    async def change(self, change: Callable[[Holders], Holders | None], *, each: float | None = None) -> bool:
        """Change the entries; return whether they were changed.

        They are read first only if the stored object is unknown, because the last request was refused or its response
        was lost.

        Args:
            change: returns the new entries for the current ones; None to leave them. Called again after a conflict.
            each: timeout of one request in seconds; None for the client's own timeout.

        Raises:
            LeaseUnreadableError: the entries cannot be parsed.
            RefusedError: the API server refused the change, or reported a conflict for CONFLICT_SECONDS.
            TimeoutError: a request took longer than `each`.
        """
        ends = time.monotonic() + CONFLICT_SECONDS
        while True:
            holders = read_holders(self.stored, self.kube.where) if self._is_current else await self.read(each=each)
            new = change(holders)
            if new is None:
                return False
            self._is_current = False
            try:
                async with asyncio.timeout(each):
                    self.stored = await self._write(self._client(each), new)
            except RefusedError as error:
                if error.status != HTTPStatus.CONFLICT or time.monotonic() >= ends:
                    raise
                await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - not used for secrets
            else:
                self._is_current = True
                return True

    def _client(self, each: float | None) -> KubeClient:
        """Return the client for one request, with retries for a number of seconds."""
        return self.kube if each is None else self.kube.until(time.monotonic() + each)

    async def _write(self, kube: KubeClient, new: Holders) -> dict[str, Any]:
        item = lease_object(new, self.stored)
        if self.stored is None:
            return await kube.create(self._path(), item, repeatable=True)
        return await kube.replace(self._path(REGISTRY), item)

    def _path(self, name: str = "") -> str:
        return self.kube.path("leases", name, group=_GROUP)
