import json
from pathlib import Path

import pytest

from cluster.kubeconfig import read
from components.providers import service_account
from stack.names import IN_CLUSTER


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_leads_to_its_own_cluster_by_its_own_token(tmp_path: Path, host: str, server: str) -> None:
    text = service_account({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"})
    file = tmp_path / "config"
    file.write_text(json.dumps(json.loads(text)))
    found = read(str(file)).kube_context(IN_CLUSTER)
    assert found.cluster["server"] == server
    assert found.user == {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}
