"""A registry with metrics: who reaches them, and that every series that the alerts need is on a real endpoint.

The lab has no network plugin that enforces policies, so the policy is only compared. The claim is on a volume of the
kind `local`, whose figures kubelets report; they report none for hostPath, the lab's default. Its file system is in
memory, so that it is as empty on every machine.
"""

import asyncio
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from components.registry_pod import read_door_only
from kube_registry.housekeeping.last_collection import NAME as LAST
from kube_registry.names import METRICS_PORT, READ_PORT, READ_SERVICE, REGISTRY, WRITE_PORT, selector
from kube_registry.spec.sections import MetricsSettings
from kube_registry.spec.settings import Settings
from lab import control_plane
from lab.cluster import known
from lab.machines import Machine
from lab.monitoring import MONITORING, PROMETHEUS_RULES, SERVICE_MONITORS
from lab.toolchain import build
from tests.e2e.access import DEPLOYER, NAMESPACE, REVIEWER, Access, manifest
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program
from tests.e2e.metrics.watching import ALERTS, Prometheus, selectors, watching
from tests.fakes.writing import tunnelled

pytestmark = pytest.mark.lab

MONITORING_NAMESPACE = "monitoring"
FILE = "kubeconfig.json"
RIGHTS = "metrics"
"""The manifest of the additional rights."""

VOLUME = "measured"
FOLDER = f"/tmp/hostpath_pv/{VOLUME}"  # noqa: S108 - on the node's own machine
METRICS = MetricsSettings(namespace=MONITORING_NAMESPACE)


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    """Prometheus and what belongs to it, built where it is missing."""
    build(MONITORING)
    found = MONITORING.find()
    assert found
    return found


@pytest.fixture(scope="module")
def volume(lab: Lab) -> Iterator[str]:
    """A storage class with one volume, whose usage its node reports; its name."""
    node = lab.cluster.nodes[0].name
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": VOLUME,
        "local": {"path": FOLDER},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    item = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": VOLUME}, "spec": spec}
    machine = Machine(known(lab.cluster.name), node)
    for command in (("mkdir", "-p", FOLDER), ("mount", "-t", "tmpfs", "-o", "size=256M,mode=1777", "lab", FOLDER)):
        subprocess.run(machine.inside(*command), check=True, timeout=30)
    lab.kubectl("apply", "--filename", "-", given=json.dumps(item))
    yield VOLUME
    lab.kubectl("delete", "persistentvolume", VOLUME, "--wait=false")
    subprocess.run(machine.inside("umount", "--lazy", FOLDER), check=True, timeout=30)


@pytest.fixture(scope="module")
def access(lab: Lab) -> Iterator[Access]:
    """An administrator has applied the manifests; the API server logs every request."""
    log = control_plane.machine_of(known(lab.cluster.name)).log(control_plane.API_SERVER)
    access = Access(lab, log, log.stat().st_size)
    for name in (DEPLOYER, REVIEWER, RIGHTS):
        access.admin("apply", "--filename", "-", given=manifest(name))
    access.log_requests(3)
    yield access
    access.log_requests(0)
    for name in (RIGHTS, REVIEWER, DEPLOYER):
        access.admin("delete", "--ignore-not-found", "--filename", "-", given=manifest(name))


@pytest.fixture(scope="module")
def monitored(access: Access, program: Program, volume: str) -> Program:
    """The program, configured by a deployer who wants metrics."""
    program.configure(kubeconfig=str(shutil.copy(access.kubeconfig(DEPLOYER), program.folder / FILE)))
    program.configure(claim_storageClass=volume, metrics_namespace=MONITORING_NAMESPACE)
    program.configure(metrics_serviceMonitor="true", metrics_serviceMonitorLabels_release="prometheus")
    return program


@pytest.fixture(scope="module")
def operator(lab: Lab, programs: dict[str, Path]) -> Iterator[None]:
    """The kinds of the Prometheus Operator."""
    files = [f"--filename={programs[name]}" for name in (SERVICE_MONITORS, PROMETHEUS_RULES)]
    lab.kubectl("apply", "--server-side", *files)
    lab.kubectl("wait", "--for=condition=Established", *files, "--timeout=20s")
    yield
    lab.kubectl("delete", *files, "--wait=false")


@pytest.fixture(scope="module")
def deployed(monitored: Program, operator: None) -> Program:  # noqa: ARG001 - it needs those kinds
    """The program with metrics and a ServiceMonitor."""
    monitored.configure(metrics_serviceMonitor="true")
    monitored.up()
    return monitored


@pytest.fixture(scope="module")
def prometheus(
    access: Access, deployed: Program, programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    with handed_to(access.lab.cluster.kubeconfig, access, deployed):
        assert deployed.registryctl("gc", "--yes").returncode == 0
    with watching(access.lab, tmp_path_factory.mktemp("prometheus"), programs) as running:
        yield running


@contextmanager
def handed_to(kubeconfig: Path, access: Access, program: Program) -> Iterator[None]:
    """The program in the hands of a person other than the deployer for a while."""
    shutil.copy(kubeconfig, program.folder / FILE)
    try:
        yield
    finally:
        shutil.copy(access.kubeconfig(DEPLOYER), program.folder / FILE)


def in_pod(lab: Lab, url: str) -> str:
    """What a pod of Prometheus' namespace reads at a URL."""
    return lab.kubectl("exec", "prometheus", "--namespace", MONITORING_NAMESPACE, "--", "wget", "-qO-", url)


@pytest.fixture
def reader(lab: Lab) -> Iterator[None]:
    """A pod in Prometheus' namespace."""
    lab.kubectl("create", "namespace", MONITORING_NAMESPACE)
    inside = ("--namespace", MONITORING_NAMESPACE)
    lab.kubectl("run", "prometheus", "--image=busybox:stable", *inside, "--command", "--", "sleep", "600")
    lab.kubectl("wait", "--for=condition=Ready", "pod/prometheus", *inside, "--timeout=25s")
    yield
    lab.kubectl("delete", "namespace", MONITORING_NAMESPACE, "--wait=false")


def the_service(lab: Lab, name: str) -> dict[str, Any]:
    return next(each for each in lab.get("services", "--namespace", NAMESPACE) if each["metadata"]["name"] == name)


class TestOperator:
    """Each test goes on where the one before ended."""

    def test_a_cluster_without_the_operator_is_named_and_the_command_goes_on_without_it(
        self, lab: Lab, monitored: Program
    ) -> None:
        text = monitored.failing_up()
        assert "has no kind ServiceMonitor, which the setting metrics.serviceMonitor requires. Fix: install" in text
        monitored.paste(commands_of(text, "metrics.serviceMonitor"))
        monitored.up()
        assert "metrics" in {port["name"] for port in the_service(lab, READ_SERVICE)["spec"]["ports"]}

    def test_its_kinds_accept_ours(self, lab: Lab, deployed: Program) -> None:
        (monitor,) = lab.get("servicemonitors", "--namespace", NAMESPACE)
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert monitor["spec"]["endpoints"] == [{"path": "/metrics", "port": "metrics"}]
        lab.kubectl("apply", f"--filename={ALERTS}")
        assert set(deployed.up()) == {"same"}

    def test_a_reviewers_rights_suffice_to_preview(self, access: Access, deployed: Program) -> None:
        with handed_to(access.kubeconfig(REVIEWER), access, deployed):
            assert set(deployed.preview()) == {"same"}


@pytest.mark.usefixtures("deployed")
class TestPort:
    def test_a_pod_of_that_namespace_reads_the_metrics(self, lab: Lab, reader: None) -> None:  # noqa: ARG002
        address = the_service(lab, READ_SERVICE)["spec"]["clusterIP"]
        assert "# TYPE registry_http_in_flight_requests gauge" in in_pod(
            lab, f"http://{address}:{METRICS_PORT}/metrics"
        )
        assert "profile" in in_pod(lab, f"http://{address}:{METRICS_PORT}/debug/pprof/"), "hence the policy"

    def test_the_policy_is_there(self, lab: Lab) -> None:
        (policy,) = lab.get("networkpolicies", "--namespace", NAMESPACE)
        assert policy["spec"] == read_door_only(METRICS)

    def test_the_pod_listens_on_no_other_port(self, lab: Lab) -> None:
        (pod,) = lab.get("pods", "--namespace", NAMESPACE, "--selector", selector(REGISTRY))
        inside = (pod["metadata"]["name"], "--namespace", NAMESPACE, "--container", "write")
        said = lab.kubectl("exec", *inside, "--", "netstat", "-ltn")
        listening = {line.split()[3] for line in said.splitlines() if "LISTEN" in line}
        assert listening == {f"127.0.0.1:{WRITE_PORT}", f":::{READ_PORT}", f":::{METRICS_PORT}"}

    def test_neither_door_itself_serves_them(self, lab: Lab, settings: Settings) -> None:
        async def of_write_door() -> list[int]:
            async with tunnelled(settings) as (_, tunnel), aiohttp.ClientSession() as session:
                urls = [f"http://{tunnel.address}{path}" for path in ("/metrics", "/debug/pprof/", "/debug/vars")]
                return [(await session.get(url)).status for url in urls]

        assert asyncio.run(of_write_door()) == [404, 404, 404]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            node_port(lab, settings, "/metrics")


def node_port(lab: Lab, settings: Settings, path: str) -> None:
    urllib.request.urlopen(f"http://{lab.cluster.nodes[0].address}:{settings.node_port}{path}", timeout=5).close()


class TestAlerts:
    @pytest.mark.parametrize("series", selectors())
    def test_each_series_that_they_need_is_there(self, prometheus: Prometheus, series: str) -> None:
        prometheus.wait_until_found(series)

    def test_prometheus_evaluates_them_and_none_is_due(self, prometheus: Prometheus) -> None:
        for series in selectors():
            prometheus.wait_until_found(series)
        prometheus.wait_until_due(set())
        (group,) = prometheus.ask("rules")["groups"]
        assert {rule["health"] for rule in group["rules"]} == {"ok"}
        assert len(group["rules"]) == 5

    def test_a_registry_without_pods_is_down_and_not_scraped(self, lab: Lab, prometheus: Prometheus) -> None:
        lab.kubectl("scale", "deployment", REGISTRY, "--namespace", NAMESPACE, "--replicas=0")
        try:
            prometheus.wait_until_due({"RegistryDown", "RegistryNotScraped"})
        finally:
            lab.kubectl("scale", "deployment", REGISTRY, "--namespace", NAMESPACE, "--replicas=1")


class TestEnd:
    def test_the_rights_of_the_manifest_suffice_to_destroy_and_none_was_idle(
        self, access: Access, deployed: Program
    ) -> None:
        (lease,) = access.lab.get("leases", "--namespace", NAMESPACE, "--field-selector", f"metadata.name={LAST}")
        assert lease["spec"]["renewTime"]
        deployed.destroy()
        assert access.idle(RIGHTS, access.start) == set()
        assert NAMESPACE not in {each["metadata"]["name"] for each in access.lab.get("namespaces")}
