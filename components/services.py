"""The registry's two Services: one for pods and for the node proxy, and one for the node port."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.names import NODE_PORT, READ_PORT, labels

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
    name: str,
    cluster: Cluster,
    metadata: dict[str, Any],
    opts: pulumi.ResourceOptions | None = None,
) -> kubernetes.core.v1.Service:
    """Return the Service that has the node port if kube-proxy serves it on every node's loopback, else none.

    Args:
        name: name of the component.
        cluster: the cluster, with the settings of the registry.
        metadata: metadata of the Service.
        opts: resource options, with the parent.
    """
    node_port = cluster.settings.node_port
    if cluster.settings.has_node_proxy:
        metadata = metadata | {"annotations": {**metadata["annotations"], NODE_PORT: str(node_port)}}
        spec = _spec("ClusterIP")
    else:
        spec = _spec("NodePort", nodePort=node_port)
    guarded = pulumi.ResourceOptions(hooks=node_port_guard(name, cluster))
    opts = pulumi.ResourceOptions.merge(guarded, opts)  # its hooks run first
    return kubernetes.core.v1.Service(f"{name}-service", metadata=metadata, spec=spec, opts=opts)


def _spec(type_: str, **port: int) -> dict[str, Any]:
    return {
        "type": type_,
        "selector": labels("registry"),
        "ports": [{"name": "read", "port": READ_PORT, "targetPort": "read", **port}],
    }
