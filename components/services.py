"""The registry's two Services: one for pods and for the node proxy, and one for the node port."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.names import READ_PORT, labels
from kube_registry.spec.settings import RegistrySettings

from .cluster import Cluster
from .guards import node_port_guard


def read_service(
    name: str, metadata: dict[str, Any], opts: pulumi.ResourceOptions | None = None
) -> kubernetes.core.v1.Service:
    """Return the Service for pods and for the node proxy, which no exposure changes (docs/adr/0038).

    Args:
        name: name of the component.
        metadata: metadata of the Service.
        opts: resource options, with the parent.
    """
    return kubernetes.core.v1.Service(f"{name}-read-service", metadata=metadata, spec=_spec("ClusterIP"), opts=opts)


def node_port_service(
    name: str, cluster: Cluster, metadata: dict[str, Any], opts: pulumi.ResourceOptions | None = None
) -> kubernetes.core.v1.Service:
    """Return the Service that has the node port, if kube-proxy serves the registry on every node's loopback.

    Args:
        name: name of the component.
        cluster: the cluster, with the settings of the registry.
        metadata: metadata of the Service.
        opts: resource options, with the parent.
    """
    guarded = pulumi.ResourceOptions(hooks=node_port_guard(name, cluster))
    spec = _node_port_spec(cluster.settings)
    opts = pulumi.ResourceOptions.merge(opts, guarded)
    return kubernetes.core.v1.Service(f"{name}-service", metadata=metadata, spec=spec, opts=opts)


def _node_port_spec(settings: RegistrySettings) -> dict[str, Any]:
    return _spec("NodePort", nodePort=settings.node_port)


def _spec(type_: str, **port: int) -> dict[str, Any]:
    return {
        "type": type_,
        "selector": labels("registry"),
        "ports": [{"name": "read", "port": READ_PORT, "targetPort": "read", **port}],
    }
