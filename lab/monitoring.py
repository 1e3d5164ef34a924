"""Prometheus, promtool and kube-state-metrics, with which tests check the alerts and the metrics that they read.

kube-state-metrics is a Go module of its own: it does not compile with the packages of Kubernetes that Prometheus needs.
"""

from lab.gobuild import GoProgram, ModuleFile
from lab.part import Part, Program

_TAGS = ("remove_all_sd", "enable_kubernetes_sd")
"""Of all its ways to discover targets, only that by Kubernetes."""

_OPERATOR = "github.com/prometheus-operator/prometheus-operator"

SERVICE_MONITORS = "monitoring.coreos.com_servicemonitors.yaml"
PROMETHEUS_RULES = "monitoring.coreos.com_prometheusrules.yaml"
"""The Prometheus Operator's own definitions of its kinds."""

MONITORING = Part(
    name="monitoring",
    version="3.16.0",
    purpose="the check of the alerts, and the metrics of Kubernetes objects",
    programs=(
        Program("prometheus"),
        Program("promtool"),
        Program("kube-state-metrics"),
        Program(SERVICE_MONITORS),
        Program(PROMETHEUS_RULES),
    ),
    builds=(
        GoProgram(
            name="promtool",
            module="prometheus",
            package="github.com/prometheus/prometheus/cmd/promtool",
            beside=tuple(
                ModuleFile(_OPERATOR, f"example/prometheus-operator-crd/{name}")
                for name in (SERVICE_MONITORS, PROMETHEUS_RULES)
            ),
            tags=_TAGS,
        ),
        GoProgram(
            name="prometheus",
            module="prometheus",
            package="github.com/prometheus/prometheus/cmd/prometheus",
            tags=_TAGS,
        ),
        GoProgram(name="kube-state-metrics", module="kube-state-metrics", package="k8s.io/kube-state-metrics/v2"),
    ),
    disk=3 * 10**9,
    from_path=False,
)
