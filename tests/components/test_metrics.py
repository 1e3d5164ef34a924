"""Metrics of the registry, as the program registers them: for one namespace, of the read door only."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kube_registry.names import METRICS_PORT, READ_PORT, READ_SERVICE, REGISTRY
from tests.components.test_program import CONFIG, WITH_PROXY, Monitor, Registered, described

MONITORED = {
    "namespace": "monitoring",
    "serviceMonitor": True,
    "serviceMonitorLabels": {"release": "kube-prometheus-stack", "app.kubernetes.io/name": "theirs"},
}


def with_metrics(config: dict[str, str], metrics: dict[str, Any]) -> dict[str, str]:
    return {**config, "kube-registry:metrics": json.dumps(metrics)}


@pytest.fixture
def config() -> dict[str, str]:
    return with_metrics(CONFIG, {"namespace": "monitoring"})


@pytest.fixture
def registered(config: dict[str, str]) -> Iterator[Registered]:
    record = Registered()
    with described(Monitor(record), config):
        yield record


def test_the_read_door_serves_them_and_the_write_door_has_no_debug_server(registered: Registered) -> None:
    (doors,) = (each["data"] for each in registered.of_type("ConfigMap") if "read.yml" in each["data"])
    write, read = (json.loads(doors[name])["http"] for name in ("write.yml", "read.yml"))
    assert read["debug"] == {"addr": f":{METRICS_PORT}", "prometheus": {"enabled": True, "path": "/metrics"}}
    assert "debug" not in write
    ports = {each["name"]: [port["name"] for port in each.get("ports", [])] for each in registered.containers()}
    assert ports == {"write": [], "read": ["read", "metrics"]}


@pytest.mark.parametrize("base", [CONFIG, WITH_PROXY], ids=["node port", "node proxy"])
def test_the_port_is_on_no_node(base: dict[str, str]) -> None:
    record = Registered()
    with described(Monitor(record), with_metrics(base, {"namespace": "monitoring"})):
        services = {each["metadata"]["name"]: each["spec"] for each in record.of_type("Service")}
    assert services[READ_SERVICE]["type"] == "ClusterIP"
    ports = {name: [port["port"] for port in spec["ports"]] for name, spec in services.items()}
    assert ports == {READ_SERVICE: [READ_PORT, METRICS_PORT], REGISTRY: [READ_PORT]}


def test_the_policy_lets_only_pods_of_that_namespace_to_it(registered: Registered) -> None:
    (policy,) = registered.of_type("NetworkPolicy")
    everybody, prometheus = policy["spec"]["ingress"]
    assert everybody == {"ports": [{"protocol": "TCP", "port": READ_PORT}]}
    assert prometheus == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"protocol": "TCP", "port": METRICS_PORT}],
    }
    assert registered.of_type("ServiceMonitor") == []


@pytest.mark.parametrize("config", [with_metrics(CONFIG, MONITORED)], ids=[""])
def test_a_service_monitor_selects_the_service_with_the_port_and_keeps_our_labels(registered: Registered) -> None:
    (monitor,) = registered.of_type("ServiceMonitor")
    (service,) = (each for each in registered.of_type("Service") if each["metadata"]["name"] == READ_SERVICE)
    assert (monitor["apiVersion"], monitor["metadata"]["namespace"]) == ("monitoring.coreos.com/v1", "kube-registry")
    assert monitor["metadata"]["labels"] == {**service["metadata"]["labels"], "release": "kube-prometheus-stack"}
    assert monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "kube-registry"
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics"}]
    assert "metrics" in {port["name"] for port in service["spec"]["ports"]}
