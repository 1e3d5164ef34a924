"""The time of the last collection is stored whatever was there before. tests/e2e stores it in a real cluster."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from kube_registry.errors import HERE
from kube_registry.housekeeping.last_collection import NAME, record_collection
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.kube.translate import refusal

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-registry/leases"


class Cluster:
    """Has one Lease or none, and answers a change with a status, in a KubeClient's place."""

    def __init__(self, lease: dict[str, Any] | None, status: int = 200) -> None:
        self.lease, self.status = lease, status

    def path(self, kind: str, name: str = "", *, group: str) -> str:
        return f"/apis/{group}/namespaces/kube-registry/{kind}{f'/{name}' if name else ''}"

    async def find(self, path: str) -> dict[str, Any] | None:
        assert path == f"{LEASES}/{NAME}"
        return self.lease

    async def create(self, path: str, item: dict[str, Any], *, repeatable: bool) -> None:
        assert (path, repeatable, self.lease) == (LEASES, True, None)
        self.store(item)

    async def replace(self, path: str, item: dict[str, Any]) -> None:
        assert path == f"{LEASES}/{NAME}"
        assert self.lease
        self.store(item)

    def store(self, item: dict[str, Any]) -> None:
        if self.status != 200:
            raise refusal(HERE, f"PUT {LEASES}", self.status, "refused")
        self.lease = item


def recorded(lease: dict[str, Any] | None, status: int = 200) -> dict[str, Any] | None:
    cluster = Cluster(lease, status)
    asyncio.run(record_collection(cast("KubeClient", cluster)))
    return cluster.lease


@pytest.mark.parametrize("before", [None, {"metadata": {"name": NAME, "resourceVersion": "7"}, "spec": {}}])
def test_it_is_the_time_of_a_lease(before: dict[str, Any] | None) -> None:
    lease = recorded(before)
    assert lease
    assert lease["metadata"]["name"] == NAME
    assert lease["metadata"].get("resourceVersion") == ("7" if before else None)
    age = datetime.now(UTC) - datetime.fromisoformat(lease["spec"]["renewTime"])
    assert timedelta() <= age < timedelta(minutes=1)


@pytest.mark.parametrize("before", [None, {"metadata": {"name": NAME}}])
def test_another_collection_that_ends_at_the_same_time_has_stored_it(before: dict[str, Any] | None) -> None:
    assert recorded(before, status=409) == before


def test_a_refusal_is_not_hidden() -> None:
    with pytest.raises(RefusedError):
        recorded(None, status=422)
