"""A collection holds the lease alone, and ends at once when that is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from kube_registry.errors import HERE
from kube_registry.housekeeping import gc
from kube_registry.housekeeping.gc_plan import Keep, Plan
from kube_registry.kube.client import KubeClient
from kube_registry.lease.errors import LeaseLostError
from kube_registry.lease.lease import Lease

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(20)]

KUBE = cast("KubeClient", SimpleNamespace(where=HERE))


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch) -> Lease:
    """The lease that a collection gets."""
    lease = Lease(HERE)

    @asynccontextmanager
    async def lease_held(_kube: KubeClient, _doing: str, **how: object) -> AsyncIterator[Lease]:
        assert how["alone"] is True
        yield lease

    monkeypatch.setattr(gc, "lease_held", lease_held)
    return lease


async def collect() -> None:
    await gc.collect(KUBE, [], Keep(newest=1), Plan((), (), {}, {}), print)


async def test_one_whose_lease_is_lost_is_ended_whatever_it_waits_for(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_files(_kube: KubeClient) -> dict[str, str]:
        lease.lose()
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(gc, "read_files", read_files)
    with pytest.raises(LeaseLostError):
        await collect()


@pytest.mark.usefixtures("lease")
async def test_another_time_that_runs_out_is_not_taken_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read_files(_kube: KubeClient) -> dict[str, str]:
        raise TimeoutError

    monkeypatch.setattr(gc, "read_files", read_files)
    with pytest.raises(TimeoutError):
        await collect()
