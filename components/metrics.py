"""The parts of the registry's objects by which Prometheus reads its metrics; pure.

They are empty without the setting `metrics`. The read door serves metrics on distribution's debug port, which also
serves profiles of the process (pprof). So the port is in no Service but the ClusterIP one, and the network policy
allows it to the pods of one namespace only. The write door has no such port (docs/adr/0041).
"""

from typing import Any

from kube_registry.names import METRICS_PORT, labels
from kube_registry.spec.sections import MetricsSettings

_PORT = "metrics"
"""Name of the port in the container, in the Service and in the ServiceMonitor."""

_PATH = "/metrics"


def debug_server(metrics: MetricsSettings | None) -> dict[str, Any]:
    """Return the keys of the read door's `http` configuration that start distribution's debug server."""
    if metrics is None:
        return {}
    return {"debug": {"addr": f":{METRICS_PORT}", "prometheus": {"enabled": True, "path": _PATH}}}


def container_ports(metrics: MetricsSettings | None) -> list[dict[str, Any]]:
    """Return the ports that the read door's container has for metrics."""
    return [] if metrics is None else [{"name": _PORT, "containerPort": METRICS_PORT}]


def service_ports(metrics: MetricsSettings | None) -> list[dict[str, Any]]:
    """Return the ports that the ClusterIP Service has for metrics."""
    return [] if metrics is None else [{"name": _PORT, "port": METRICS_PORT, "targetPort": _PORT}]


def allowed_to_scrape(metrics: MetricsSettings | None) -> list[dict[str, Any]]:
    """Return the rules of the network policy that allow Prometheus, and no other pod, to read the metrics.

    The API server sets the label of the namespace's name on every namespace.
    """
    if metrics is None:
        return []
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": metrics.namespace}}}
    return [{"from": [prometheus], "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}]


def monitor_spec() -> dict[str, Any]:
    """Return the spec of the ServiceMonitor by which the Prometheus Operator configures Prometheus.

    Its job is named kube-registry, by a label of the Service. Of the two Services with the registry's labels, only the
    ClusterIP one has the port.
    """
    return {
        "jobLabel": "app.kubernetes.io/name",
        "selector": {"matchLabels": labels("registry")},
        "endpoints": [{"port": _PORT, "path": _PATH}],
    }
