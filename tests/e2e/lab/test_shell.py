"""A shell for the lab, on a cluster that runs."""

import subprocess

import pytest

from tests.conftest import CLUSTER, Lab
from tests.e2e.conftest import CHECKOUT

pytestmark = pytest.mark.lab

TYPED = """\
kubectl get nodes --output name
docker version --format '{{.Server.Os}} engine'
pulumi whoami --verbose
cd / && registryctl tunnel --help
"""


@pytest.mark.parametrize(
    "start", [f'eval "$(python3 -m lab env {CLUSTER})"; sh', f"python3 -m lab shell {CLUSTER}"], ids=["env", "shell"]
)
def test_every_tool_works_as_typed(start: str, lab: Lab) -> None:
    done = subprocess.run(
        ["sh", "-c", start], cwd=CHECKOUT, input=TYPED, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {f"node/{node.name}" for node in lab.cluster.nodes} <= set(done.stdout.splitlines())
    assert "linux engine" in done.stdout
    assert lab.env["PULUMI_BACKEND_URL"] in done.stdout
    assert "Usage: registryctl tunnel " in done.stdout
