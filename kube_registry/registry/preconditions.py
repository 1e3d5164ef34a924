"""What has to hold in a cluster before the first object is made there, and why one was refused."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kube_registry.kube.errors import ForbiddenError
from kube_registry.names import HOSTING, HOSTING_NAMESPACE, REGISTRY, RETAINED, labels
from kube_registry.registry.errors import HostingTakenError, NamespaceTakenError, NodePortError
from kube_registry.spec.settings import ClusterAddress, RegistrySettings
from kube_registry.text import one_line

if TYPE_CHECKING:
    from kube_registry.kube.client import KubeClient

FIXED_NODE_PORTS = range(30_000, 30_086)
"""The band that Kubernetes keeps for ports that somebody chose (KEP-3668), in a cluster with the usual range."""

PREPARED = "kube-registry/prepared"
"""Annotation of a namespace that an administrator made for a registry to come, with the rights in it (docs/rbac.md)."""


async def prove_reach(settings: ClusterAddress) -> None:
    """Return once the API server has answered us and let us look for the namespace.

    Raises:
        ClusterError: kubeconfig, connection, certificate or credentials are no good.
    """
    async with _client(settings) as kube:
        await _namespace(kube)


async def cluster_uid(settings: ClusterAddress) -> str | None:
    """Return what tells the stack's cluster from every other: the uid of its namespace kube-system; None if unseen.

    Raises:
        ClusterError: the cluster cannot be asked.
    """
    async with _client(settings) as kube:
        try:
            return str((await kube.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"])
        except ForbiddenError:
            return None


async def prove_namespace_free(settings: ClusterAddress, import_command: str) -> None:
    """Return if the registry's namespace is not there yet, or waits for a stack: prepared for one, or retained by one.

    A server-side apply would take over any that is, and a destroy would then delete it with all that is in it.

    Raises:
        NamespaceTakenError: it is there.
    """
    async with _client(settings) as kube:
        namespace = await _namespace(kube)
        if namespace and not _is_prepared(namespace["metadata"]) and not await _is_retained(kube, namespace):
            raise NamespaceTakenError(where=kube.where, import_command=import_command)


async def prove_hosting_free(settings: ClusterAddress) -> None:
    """Return if nothing tells tools of a registry in this cluster yet; it may be another one that they are told of.

    Raises:
        HostingTakenError: something does.
    """
    async with _client(settings) as kube:
        if taken := await kube.find(kube.path("configmaps", HOSTING, namespace=HOSTING_NAMESPACE)):
            told = one_line(" ".join(taken.get("data", {}).values()))
            raise HostingTakenError(where=replace(kube.where, namespace=HOSTING_NAMESPACE), told=told or "nothing")


async def explain_node_port(settings: RegistrySettings, refused: str) -> NodePortError:
    """What the API server's refusal of a node port means: who has it, as far as may be seen, and which one is free.

    Args:
        settings: the stack.
        refused: the API server's words.
    """
    async with _client(settings) as kube:
        holders = await _node_ports(kube)
        holder = holders.get(settings.node_port)
        reason = f"service {holder} has it" if holder else refused.rpartition(": ")[2].strip()
        free = next(port for port in FIXED_NODE_PORTS if port not in holders)
        return NodePortError(where=kube.where, node_port=settings.node_port, reason=reason, proposal=free)


def _client(address: ClusterAddress) -> AbstractAsyncContextManager["KubeClient"]:
    """A client of the cluster; a program that imports this file is ready sooner than the client."""
    from kube_registry.kube.client import open_client  # noqa: PLC0415 - a second

    return open_client(address)


async def _namespace(kube: "KubeClient") -> dict[str, Any] | None:
    """The registry's namespace; None if it is not there."""
    return await kube.find(f"/api/v1/namespaces/{kube.where.namespace}")


def _is_prepared(metadata: dict[str, Any]) -> bool:
    taken = labels("namespace").items() <= metadata.get("labels", {}).items()
    return PREPARED in metadata.get("annotations", {}) and not taken


async def _is_retained(kube: "KubeClient", namespace: dict[str, Any]) -> bool:
    """Whether a stack has left it behind; one whose registry still runs is that of a stack that is still there."""
    is_left = RETAINED in namespace["metadata"].get("annotations", {})
    return is_left and not await kube.find(kube.path("deployments", REGISTRY, group="apps/v1"))


async def _node_ports(kube: "KubeClient") -> dict[int, str]:
    """Node port -> the service that has it; empty where services of other namespaces may not be seen."""
    try:
        services = (await kube.get("/api/v1/services"))["items"]
    except ForbiddenError:
        return {}
    return {
        port["nodePort"]: f"{service['metadata']['name']} in namespace {service['metadata']['namespace']}"
        for service in services
        for port in service["spec"].get("ports", [])
        if "nodePort" in port
    }
