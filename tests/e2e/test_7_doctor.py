"""`registryctl doctor` on a real cluster, whole and broken in many ways: each is told, and what mends it."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest
import yaml

from cluster.probe import PROBE
from stack.endpoints import parse_reference
from stack.names import REGISTRY
from stack.settings import Settings
from tests.e2e.conftest import Lab, Program
from tests.writing import pushing

pytestmark = pytest.mark.lab

NAMESPACE = "kube-registry"


def doctor(program: Program, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and subject -> state and words."""
    done = program.registryctl("doctor", **env)
    assert done.stderr == ""
    rows = [re.split(r"  +", line.strip(), maxsplit=2) for line in done.stdout.splitlines()]
    return done.returncode, {subject: (state, words) for state, subject, words in rows}


def to_mend(told: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {subject: words for subject, (state, words) in told.items() if state == "mend"}


def test_a_healthy_registry_has_nothing_to_mend(lab: Lab, deployed: Program) -> None:
    status, told = doctor(deployed)
    assert {state for state, _ in told.values()} == {"ok"}
    assert status == 0
    nodes = {node["metadata"]["name"] for node in lab.get("nodes")}
    assert {subject for subject in told if subject.startswith("node ")} == {f"node {name}" for name in nodes}
    assert told["image app"][1] == f"{deployed.output('images')['app']} is there"


def test_a_registry_that_is_scaled_to_nothing_is_told_and_the_rest_is_looked_at(lab: Lab, deployed: Program) -> None:
    lab.kubectl("scale", "deployment", REGISTRY, "--replicas=0", "--namespace", NAMESPACE)
    try:
        status, told = doctor(deployed)
    finally:
        lab.kubectl("scale", "deployment", REGISTRY, "--replicas=1", "--namespace", NAMESPACE)
        lab.kubectl("rollout", "status", f"deployment/{REGISTRY}", "--namespace", NAMESPACE, "--timeout=60s")
    assert status == 1
    assert to_mend(told).keys() == {"registry"}
    assert "its Deployment is scaled to 0" in told["registry"][1]
    assert told["docker"][0] == told["volume"][0] == told["write door"][0] == "?"
    assert told["rights"][0] == told["lease"][0] == "ok"


def test_an_image_that_is_gone_is_named_with_the_line_that_pushes_it(deployed: Program, settings: Settings) -> None:
    app = parse_reference(deployed.output("images")["app"])

    async def delete_tag() -> None:
        async with pushing(settings) as registry:
            await registry.delete(app.repository, str(app.tag))

    asyncio.run(delete_tag())
    status, told = doctor(deployed)
    assert status == 1
    assert to_mend(told).keys() == {"image app"}
    line = told["image app"][1].partition("`")[2].partition("`")[0]
    done = deployed.run(*shlex.split(line), "--yes", "--skip-preview", "--non-interactive")
    assert done.returncode == 0, done.stdout + done.stderr
    assert doctor(deployed)[0] == 0


def test_a_daemon_that_is_not_there_is_told(deployed: Program) -> None:
    status, told = doctor(deployed, DOCKER_HOST="tcp://127.0.0.1:1")
    assert status == 1
    assert to_mend(told).keys() == {"docker"}
    assert "no Docker daemon answers at tcp://127.0.0.1:1" in told["docker"][1]


def test_nodes_that_were_never_asked_are_told(lab: Lab, deployed: Program) -> None:
    lab.kubectl("delete", "configmap", PROBE, "--namespace", NAMESPACE)
    status, told = doctor(deployed)
    assert status == 1
    assert {subject.partition(" ")[0] for subject in to_mend(told)} == {"node"}
    assert deployed.registryctl("preflight").returncode == 0
    assert doctor(deployed)[0] == 0


def test_a_service_that_is_gone_is_told_though_the_nodes_have_pulled_before(lab: Lab, deployed: Program) -> None:
    lab.kubectl("delete", "service", REGISTRY, "--namespace", NAMESPACE)
    try:
        status, told = doctor(deployed)
    finally:
        deployed.up()
    assert status == 1
    assert to_mend(told).keys() == {"read door"}
    assert doctor(deployed)[0] == 0


def test_a_cluster_that_does_not_answer_is_told_and_docker_is_looked_at(
    lab: Lab, deployed: Program, tmp_path: Path
) -> None:
    kubeconfig = yaml.safe_load(lab.cluster.kubeconfig.read_text())
    for cluster in kubeconfig["clusters"]:
        cluster["cluster"]["server"] = "https://127.0.0.1:1"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(kubeconfig))
    with deployed.changed({"kubeconfig": str(file)}):
        status, told = doctor(deployed)
    assert status == 1
    assert to_mend(told).keys() == {"cluster"}
    assert told["docker"][0] == "?"


def test_a_stack_that_nobody_knows_is_one_sentence(deployed: Program) -> None:
    done = deployed.run("python", "-m", "registryctl", "doctor", "--stack", "nobodys")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no stack named 'nobodys' found" in done.stderr
    assert len(done.stderr.splitlines()) == 1
