"""Check a cluster before the first object is created there, and explain why one was refused."""

from collections.abc import Collection, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kube_registry.kube.errors import ForbiddenError
from kube_registry.names import HOSTING, HOSTING_NAMESPACE, NFS_SERVER, NODE_PORT, REGISTRY, RETAINED, labels, selector
from kube_registry.registry.errors import (
    HostingTakenError,
    MonitorKindMissingError,
    NamespaceTakenError,
    NodePortError,
)
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import one_line

if TYPE_CHECKING:
    from kube_registry.kube.client import KubeClient

FIXED_NODE_PORTS = range(30_000, 30_086)
"""The band that Kubernetes reserves for chosen node ports (KEP-3668), in a cluster with the default range."""

PREPARED = "kube-registry/prepared"
"""Annotation of a namespace that an administrator has prepared for a registry, with permissions (docs/rbac.md)."""


async def prove_reach(settings: ClusterAddress) -> None:
    """Check that the API server responds and lets the user read the namespace.

    Raises:
        ClusterError: the API server cannot be reached, or refused the credentials or the request.
    """
    async with _client(settings) as kube:
        await _namespace(kube)


async def cluster_uid(settings: ClusterAddress) -> str | None:
    """Return the uid of the namespace kube-system, which identifies the cluster; None without permission to read it.

    Raises:
        ClusterError: the cluster cannot be reached.
    """
    async with _client(settings) as kube:
        return await _uid(kube)


async def prove_reach_and_uid(settings: ClusterAddress) -> str | None:
    """Do what `prove_reach` and `cluster_uid` do with one client, so that a credential plugin runs once.

    Raises:
        ClusterError: as for both.
    """
    async with _client(settings) as kube:
        await _namespace(kube)
        return await _uid(kube)


async def prove_namespace_free(settings: ClusterAddress, import_command: str, option: str) -> None:
    """Check that a namespace does not exist, is prepared for a stack, or was retained by a destroyed one.

    A server-side apply would take over any existing namespace, and a destroy would then delete it with its content.

    Args:
        settings: the cluster, with the namespace.
        import_command: the command that takes it over, for the error.
        option: arguments of `pulumi config set` that select another one, for the error.

    Raises:
        NamespaceTakenError: the namespace exists for another purpose.
    """
    async with _client(settings) as kube:
        namespace = await _namespace(kube)
        if namespace and not _is_prepared(namespace["metadata"]) and not await _is_retained(kube, namespace):
            raise NamespaceTakenError(where=kube.where, import_command=import_command, option=option)


async def has_claim_to_lose(settings: ClusterAddress) -> bool:
    """Return whether the registry has a claim of a stack that deletes it with the volume, as it is not retained.

    Raises:
        ClusterError: the cluster cannot be reached, or a permission is missing.
    """
    async with _client(settings) as kube:
        claim = await kube.find(kube.path("persistentvolumeclaims", REGISTRY))
    return claim is not None and RETAINED not in claim["metadata"].get("annotations", {})


async def prove_hosting_free(settings: ClusterAddress) -> None:
    """Check that the cluster does not advertise a registry to tools yet; it might be another one.

    Raises:
        HostingTakenError: the ConfigMap that advertises one exists.
    """
    async with _client(settings) as kube:
        if taken := await kube.find(kube.path("configmaps", HOSTING, namespace=HOSTING_NAMESPACE)):
            content = one_line(" ".join(taken.get("data", {}).values())) or "nothing"
            raise HostingTakenError(where=replace(kube.where, namespace=HOSTING_NAMESPACE), content=content)


async def prove_monitor_kind(settings: ClusterAddress) -> None:
    """Check that the cluster has the Prometheus Operator's kind ServiceMonitor.

    Raises:
        MonitorKindMissingError: it has not.
    """
    async with _client(settings) as kube:
        found = await kube.find("/apis/monitoring.coreos.com/v1")
        if not found or "ServiceMonitor" not in {each["kind"] for each in found["resources"]}:
            raise MonitorKindMissingError(where=kube.where)


async def prove_port_free(settings: RegistrySettings) -> None:
    """Check that no other registry of the cluster has the port; without permission to list services, it is not checked.

    The API server compares only node ports, and the port of a node proxy is none.

    Raises:
        NodePortError: another registry has it.
    """
    async with _client(settings) as kube:
        holder = (await node_ports(kube, labelSelector=selector(REGISTRY))).get(settings.node_port)
        if holder:
            proposal = free_node_port(await node_ports(kube))
            reason = f"service {holder} uses it"
            raise NodePortError(where=kube.where, node_port=settings.node_port, reason=reason, proposal=proposal)


async def explain_node_port(settings: RegistrySettings, refused: str) -> NodePortError:
    """Return the error for a refused node port: which service uses it, if the user may list services, and a free one.

    Args:
        settings: the stack.
        refused: the API server's message.
    """
    async with _client(settings) as kube:
        holders = await node_ports(kube)
        holder = holders.get(settings.node_port)
        reason = f"service {holder} uses it" if holder else refused.rpartition(": ")[2].strip()
        proposal = free_node_port(holders)
        return NodePortError(where=kube.where, node_port=settings.node_port, reason=reason, proposal=proposal)


def free_node_port(holders: Collection[int]) -> int:
    """Return a port that no Service of the cluster uses.

    Args:
        holders: the node ports in use.
    """
    return next(port for port in FIXED_NODE_PORTS if port not in holders)


def _client(address: ClusterAddress) -> AbstractAsyncContextManager["KubeClient"]:
    """Open a client of the cluster; it is imported late, so that importing this file is fast."""
    from kube_registry.kube.client import open_client  # noqa: PLC0415 - a second

    return open_client(address)


async def _uid(kube: "KubeClient") -> str | None:
    try:
        return str((await kube.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"])
    except ForbiddenError:
        return None


async def _namespace(kube: "KubeClient") -> dict[str, Any] | None:
    """Return the registry's namespace; None if it does not exist."""
    return await kube.find(f"/api/v1/namespaces/{kube.where.namespace}")


def _is_prepared(metadata: dict[str, Any]) -> bool:
    taken = labels("namespace").items() <= metadata.get("labels", {}).items()
    return PREPARED in metadata.get("annotations", {}) and not taken


async def _is_retained(kube: "KubeClient", namespace: dict[str, Any]) -> bool:
    """Return whether a destroyed stack has left the namespace; if its server still runs, the stack still exists."""
    if RETAINED not in namespace["metadata"].get("annotations", {}):
        return False
    paths = [kube.path("deployments", name, group="apps/v1") for name in (REGISTRY, NFS_SERVER)]
    return not any([await kube.find(path) for path in paths])


async def node_ports(kube: "KubeClient", **query: str) -> dict[int, str]:
    """Return port -> service that uses it on the nodes, by a node port or by the node proxy of another registry.

    It is empty without permission to list services of all namespaces.

    Args:
        kube: client of the registry's cluster.
        query: which services, as query parameters of the request.

    Raises:
        ClusterError: the API server does not respond.
    """
    try:
        services = (await kube.get("/api/v1/services", **query))["items"]
    except ForbiddenError:
        return {}
    own = kube.where.namespace, REGISTRY
    return {
        port: f"{name} in namespace {namespace}"
        for service in services
        for namespace, name in [(service["metadata"]["namespace"], service["metadata"]["name"])]
        if (namespace, name) != own
        for port in _ports(service)
    }


def _ports(service: dict[str, Any]) -> Iterable[int]:
    """Yield the ports of all nodes that lead to a service."""
    yield from (port["nodePort"] for port in service["spec"].get("ports", []) if "nodePort" in port)
    annotated = service["metadata"].get("annotations", {}).get(NODE_PORT, "")
    if annotated.isdecimal():
        yield int(annotated)
