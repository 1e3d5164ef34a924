"""What an update asks the cluster before it registers anything. tests/e2e asks real clusters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kube_registry.errors import Where
from kube_registry.kube.errors import ForbiddenError
from kube_registry.kube.translate import refusal
from kube_registry.registry import preconditions
from kube_registry.spec.settings import RegistrySettings

SETTINGS = RegistrySettings.parse({"kubeContext": "here"}, project="p", stack="s")
OWN, SYSTEM = (f"/api/v1/namespaces/{name}" for name in ("kube-registry", "kube-system"))


class Cluster:
    """Answers in a KubeClient's place; counts how often one was opened, which may run a credential plugin."""

    where = Where(cluster="https://10.0.0.1", kube_context="here", namespace="kube-registry")

    def __init__(self, *forbidden: str) -> None:
        self.forbidden = forbidden
        self.opened = 0

    @asynccontextmanager
    async def client(self, _: object) -> AsyncIterator["Cluster"]:
        self.opened += 1
        yield self

    async def get(self, path: str) -> dict[str, Any]:
        if path in self.forbidden:
            raise refusal(self.where, f"GET {path}", 403, 'User "eve" cannot get resource "namespaces" in API group ""')
        return {"metadata": {"uid": f"uid of {path}"}}

    find = get


@pytest.mark.parametrize(("forbidden", "uid"), [((), f"uid of {SYSTEM}"), ((SYSTEM,), None)])
def test_one_client_asks_for_the_namespace_and_for_the_uid_of_the_cluster(
    monkeypatch: pytest.MonkeyPatch, forbidden: tuple[str, ...], uid: str | None
) -> None:
    cluster = Cluster(*forbidden)
    monkeypatch.setattr(preconditions, "_client", cluster.client)
    assert asyncio.run(preconditions.prove_reach_and_uid(SETTINGS)) == uid
    assert cluster.opened == 1


def test_a_user_who_must_not_read_the_namespace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "_client", Cluster(OWN).client)
    with pytest.raises(ForbiddenError):
        asyncio.run(preconditions.prove_reach_and_uid(SETTINGS))
