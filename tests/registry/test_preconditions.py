"""What an update asks the cluster before it registers anything. tests/e2e asks real clusters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kube_registry.errors import Where
from kube_registry.kube.errors import ForbiddenError
from kube_registry.kube.translate import refusal
from kube_registry.names import NFS_SERVER, NODE_PORT, REGISTRY, RETAINED
from kube_registry.registry import preconditions
from kube_registry.registry.errors import MonitorKindMissingError, NamespaceTakenError, NodePortError
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

    async def get(self, path: str, **_: str) -> dict[str, Any]:
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


class Kept(Cluster):
    """A namespace that a destroy would have kept, with a Deployment or without."""

    def __init__(self, deployment: str | None) -> None:
        super().__init__()
        self.deployment = deployment

    @staticmethod
    def path(kind: str, name: str, **_: str) -> str:
        return f"{kind}/{name}"

    async def find(self, path: str, **_: str) -> dict[str, Any]:
        if path == OWN:
            return {"metadata": {"annotations": {RETAINED: "true"}}}
        return {"kind": "Deployment"} if path == f"deployments/{self.deployment}" else {}


@pytest.mark.parametrize("server", [REGISTRY, NFS_SERVER])
def test_a_namespace_whose_server_still_runs_is_not_taken_over(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setattr(preconditions, "_client", Kept(server).client)
    with pytest.raises(NamespaceTakenError) as failed:
        asyncio.run(preconditions.prove_namespace_free(SETTINGS, "pulumi import", "--path sharedVolume.namespace"))
    assert "`pulumi config set --path sharedVolume.namespace NAME`" in str(failed.value)


def test_a_namespace_that_a_destroy_has_kept_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "_client", Kept(None).client)
    asyncio.run(preconditions.prove_namespace_free(SETTINGS, "pulumi import", "namespace"))


def service(namespace: str, **port: int) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "registry"}, "spec": {"ports": [{"port": 5001, **port}]}}


def proxied(namespace: str, port: int) -> dict[str, Any]:
    found = service(namespace)
    found["metadata"]["annotations"] = {NODE_PORT: str(port)}
    return found


class Services(Cluster):
    """A cluster with Services."""

    def __init__(self, *services: dict[str, Any], forbidden: Sequence[str] = ()) -> None:
        super().__init__(*forbidden)
        self.services = services

    async def get(self, path: str, **_: str) -> dict[str, Any]:
        return {"items": self.services, **await super().get(path)}


class TestPortFree:
    """A port of a node proxy is none that the API server knows: two registries could have the same."""

    @pytest.mark.parametrize("other", [proxied("shop", 30100), service("shop", nodePort=30100)])
    def test_the_port_of_another_registry_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
    ) -> None:
        cluster = Services(other, proxied("mall", 30000))
        monkeypatch.setattr(preconditions, "_client", cluster.client)
        with pytest.raises(NodePortError) as caught:
            asyncio.run(preconditions.prove_port_free(SETTINGS))
        assert "node port 30100 is not available" in str(caught.value)
        assert "service registry in namespace shop uses it" in str(caught.value)
        assert "set nodePort 30001`" in str(caught.value)

    @pytest.mark.parametrize(
        "cluster",
        [
            Services(proxied("kube-registry", 30100), proxied("shop", 30101)),
            Services(proxied("shop", 30100), forbidden=["/api/v1/services"]),
        ],
        ids=["its own", "not seen"],
    )
    def test_any_other_is_fine(self, monkeypatch: pytest.MonkeyPatch, cluster: Services) -> None:
        monkeypatch.setattr(preconditions, "_client", cluster.client)
        asyncio.run(preconditions.prove_port_free(SETTINGS))


@pytest.mark.parametrize(
    ("group", "missing"),
    [
        (None, True),
        ({"resources": [{"name": "prometheusrules", "kind": "PrometheusRule"}]}, True),
        ({"resources": [{"name": "servicemonitors", "kind": "ServiceMonitor"}]}, False),
    ],
)
def test_a_cluster_without_service_monitors_is_named(
    monkeypatch: pytest.MonkeyPatch, group: dict[str, Any] | None, *, missing: bool
) -> None:
    class Operated:
        where = Cluster.where

        async def find(self, path: str) -> dict[str, Any] | None:
            assert path == "/apis/monitoring.coreos.com/v1"
            return group

    @asynccontextmanager
    async def client(_: object) -> AsyncIterator[Operated]:
        yield Operated()

    monkeypatch.setattr(preconditions, "_client", client)
    if not missing:
        asyncio.run(preconditions.prove_monitor_kind(SETTINGS))
        return
    with pytest.raises(MonitorKindMissingError, match=r"cluster https://10\.0\.0\.1 .* has no kind ServiceMonitor"):
        asyncio.run(preconditions.prove_monitor_kind(SETTINGS))
