"""The entries of the registry's Lease object: read, and changed by compare and swap.

What the API server stored last is kept, so that a change takes one request while nobody else writes: at a slow API
server every request counts, since a holder has LOST_SECONDS for its renewal (lease.py).
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
"""How long a change is tried again while every write is answered with 409; after that the last answer is the error."""

_PAUSE = 0.2
_GROUP = "coordination.k8s.io/v1"


@dataclass
class Entries:
    """The entries, as one process sees them.

    Args:
        kube: client of the registry's cluster.
        stored: the Lease object as the API server stored or showed it last; None if there is none.
    """

    kube: KubeClient
    stored: Mapping[str, Any] | None = None
    _is_current: bool = False

    async def read(self, *, each: float | None = None) -> Holders:
        """Return all entries as they are now, of dead holders too.

        Args:
            each: seconds that the request may take; None for the client's own bound.

        Raises:
            LeaseUnreadableError: the Lease object is not ours.
            TimeoutError: the request took longer than `each`.
        """
        async with asyncio.timeout(each):
            self.stored = await self._asking(each).find(self._path(REGISTRY))
        self._is_current = True
        return read_holders(self.stored, self.kube.where)

    async def change(self, change: Callable[[Holders], Holders | None], *, each: float | None = None) -> bool:
        """Change the entries; return whether they were changed.

        They are read only if the last request left open what is stored: it was refused, or its answer did not come.

        Args:
            change: returns what shall be there in place of what is; None if it is to stay. Called again after a
                conflict.
            each: seconds that one request may take; None for the client's own bound.

        Raises:
            LeaseUnreadableError: the Lease object is not ours.
            RefusedError: the API server refuses the change, or reports a conflict for CONFLICT_SECONDS.
            TimeoutError: a request took longer than `each`.
        """
        ends = time.monotonic() + CONFLICT_SECONDS
        while True:
            holders = read_holders(self.stored, self.kube.where) if self._is_current else await self.read(each=each)
            wanted = change(holders)
            if wanted is None:
                return False
            self._is_current = False
            try:
                async with asyncio.timeout(each):
                    self.stored = await self._write(self._asking(each), wanted)
            except RefusedError as error:
                if error.status != HTTPStatus.CONFLICT or time.monotonic() >= ends:
                    raise
                await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - nothing is kept secret with it
            else:
                self._is_current = True
                return True

    def _asking(self, each: float | None) -> KubeClient:
        """Return the client for one request, which is sent again for so long."""
        return self.kube if each is None else self.kube.until(time.monotonic() + each)

    async def _write(self, kube: KubeClient, wanted: Holders) -> dict[str, Any]:
        made = lease_object(wanted, self.stored)
        if self.stored is None:
            return await kube.create(self._path(), made, repeatable=True)
        return await kube.replace(self._path(REGISTRY), made)

    def _path(self, name: str = "") -> str:
        return self.kube.path("leases", name, group=_GROUP)
