"""The registry's pod where it needs more than the defaults: every node of the cluster has a taint."""

from collections.abc import Iterator

import pytest

from kube_registry.names import selector
from tests.e2e.conftest import Lab, Program

pytestmark = pytest.mark.lab

TAINT = "dedicated=x:NoSchedule"


@pytest.fixture
def tainted(lab: Lab) -> Iterator[None]:
    lab.kubectl("taint", "node", "--all", TAINT)
    yield
    lab.kubectl("taint", "node", "--all", f"{TAINT}-")


@pytest.mark.usefixtures("tainted")
def test_a_registry_that_tolerates_the_taint_runs_and_every_node_is_asked(lab: Lab, program: Program) -> None:
    program.configure(exposure="nodeProxy")
    toleration = {"key": "dedicated", "value": "x", "effect": "NoSchedule"}
    for key, value in toleration.items():
        program.run(
            "pulumi", "config", "set", "--stack", program.stack.name, "--path", f"pod.tolerations[0].{key}", value
        )
    program.configure(pod_priorityClass="system-cluster-critical", pod_resources_limits_memory="600Mi")
    program.up()
    (pod,) = lab.get("pods", "--namespace", "kube-registry", "--selector", selector("registry"))
    assert toleration.items() <= pod["spec"]["tolerations"][0].items()
    assert pod["spec"]["priorityClassName"] == "system-cluster-critical"
    assert {each["resources"]["limits"]["memory"] for each in pod["spec"]["containers"]} == {"600Mi"}
    asked = program.registryctl("preflight")
    assert asked.returncode == 0, asked.stdout
    assert f"{len(lab.cluster.nodes)} of {len(lab.cluster.nodes)} nodes can pull" in asked.stdout
    assert program.preview().keys() == {"same"}
