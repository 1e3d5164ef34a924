from pathlib import Path

import pytest

from components.providers import daemon_host
from kube_registry.kube.kubeconfig import read
from kube_registry.kubeconfig_setting import service_account
from kube_registry.names import IN_CLUSTER
from tests.docker_daemon.test_config import configured


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_leads_to_its_own_cluster_by_its_own_token(host: str, server: str) -> None:
    text = service_account({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    found = read(text).kube_context(IN_CLUSTER)
    assert found.cluster["server"] == server
    assert found.user == {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, ""),
        ({"DOCKER_HOST": "unix:///run/mine.sock"}, ""),
        ({"DOCKER_HOST": "tcp://there:2375"}, ""),
        ({"DOCKER_HOST": "ssh://me@there"}, "ssh://me@there"),
        ({"DOCKER_CONTEXT": "colima"}, "unix:///colima.sock"),
    ],
)
def test_the_state_names_no_daemon_that_the_provider_finds_itself(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    folder = configured(tmp_path, contexts={"colima": "unix:///colima.sock"})
    assert daemon_host({**folder, **environment}) == told
