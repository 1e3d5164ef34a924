"""The registry's Service for pods and for the node proxy, its Service for the node port, and its ServiceMonitor."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.names import NODE_PORT, READ_PORT, labels
from kube_registry.spec.sections import MetricsSettings

from .cluster import Cluster
from .guards import monitor_guard, node_port_guard
from .metrics import monitor_spec, service_ports


def read_service(
    name: str, cluster: Cluster, metadata: dict[str, Any], opts: pulumi.ResourceOptions | None = None
) -> kubernetes.core.v1.Service:
    """Return the Service for pods and for the node proxy, which no exposure changes (docs/adr/0038).

    Args:
        name: name of the component.
        cluster: the cluster, with the settings of the registry.
        metadata: metadata of the Service.
        opts: resource options, with the parent.
    """
    spec = _spec("ClusterIP")
    spec["ports"] += service_ports(cluster.settings.metrics)
    return kubernetes.core.v1.Service(f"{name}-read-service", metadata=metadata, spec=spec, opts=opts)


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


def service_monitor(
    name: str,
    cluster: Cluster,
    metrics: MetricsSettings,
    metadata: dict[str, Any],
    opts: pulumi.ResourceOptions | None = None,
) -> kubernetes.apiextensions.CustomResource:
    """Return the ServiceMonitor of the registry.

    Args:
        name: name of the component.
        cluster: the cluster.
        metrics: the settings of the metrics.
        metadata: metadata of the ServiceMonitor, to which the labels of the settings are added.
        opts: resource options, with the parent.
    """
    return kubernetes.apiextensions.CustomResource(
        f"{name}-monitor",
        api_version="monitoring.coreos.com/v1",
        kind="ServiceMonitor",
        metadata={**metadata, "labels": {**metrics.service_monitor_labels, **metadata["labels"]}},
        spec=monitor_spec(),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=monitor_guard(name, cluster))),
    )


def _spec(type_: str, **port: int) -> dict[str, Any]:
    return {
        "type": type_,
        "selector": labels("registry"),
        "ports": [{"name": "read", "port": READ_PORT, "targetPort": "read", **port}],
    }
