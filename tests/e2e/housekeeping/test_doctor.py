"""`registryctl doctor` on a real cluster, whole and broken in many ways: what is wrong is named, and the fix fixes it.

Every command that a line has is run here, but for these: permissions (test_rights.py), the node proxy
(test_node_proxy.py), and what an error says of itself (test_fixes.py lists them).
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from kube_registry.housekeeping import checks
from kube_registry.housekeeping.node_checks import Finding
from kube_registry.kube.client import open_client
from kube_registry.names import PROBE_REPOSITORY as REPOSITORY
from kube_registry.names import REGISTRY, selector
from kube_registry.preflight import node_tests
from kube_registry.preflight.probe_pod import PROBE, probe_pod
from kube_registry.registry.probe_image import probe_config
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from lab.cluster import known
from lab.machines import Machine
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program
from tests.fakes.writing import pushing

pytestmark = pytest.mark.lab

NAMESPACE = "kube-registry"
MB = 1024**2
GARBAGE = 8 * MB
"""Bytes of an image that nothing uses."""


def doctor(program: Program, **env: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and subject -> state and words."""
    done = program.registryctl("doctor", **env)
    assert done.stderr == ""
    rows = [re.split(r"  +", line.strip(), maxsplit=2) for line in done.stdout.splitlines()]
    return done.returncode, {subject: (state, words) for state, subject, words in rows}


def to_fix(told: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {subject: words for subject, (state, words) in told.items() if state == "fix"}


def fix(program: Program, words: str) -> None:
    """Run the commands of a line; after that nothing is to be mended."""
    lines = commands_of(words)
    assert lines
    program.paste(lines)
    status, told = doctor(program)
    assert (status, to_fix(told)) == (0, {})


def test_a_stack_that_was_never_deployed_is_deployed_by_the_command(program: Program) -> None:
    status, told = doctor(program)
    assert status == 1
    fix(program, told[f"stack {program.stack.name}"][1])


def test_a_healthy_registry_has_nothing_to_mend(lab: Lab, deployed: Program) -> None:
    status, told = doctor(deployed)
    assert {state for state, _ in told.values()} == {"ok"}
    assert status == 0
    nodes = {node["metadata"]["name"] for node in lab.get("nodes")}
    assert {subject for subject in told if subject.startswith("node ")} == {f"node {name}" for name in nodes}
    assert told["image app"][1] == f"{deployed.output('images')['app']} is complete"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (("scale", "deployment", REGISTRY, "--replicas=0"), "its Deployment is scaled to 0"),
        (("delete", "deployment", REGISTRY), "not found"),
    ],
)
def test_a_registry_that_does_not_run_is_told_the_rest_is_looked_at_and_the_command_starts_it(
    lab: Lab, deployed: Program, broken: tuple[str, ...], reason: str
) -> None:
    lab.kubectl(*broken, "--namespace", NAMESPACE)
    status, told = doctor(deployed)
    assert status == 1
    assert to_fix(told).keys() == {"registry"}
    assert reason in told["registry"][1]
    assert told["docker"][0] == told["volume"][0] == told["write door"][0] == "?"
    assert told["permissions"][0] == told["lease"][0] == "ok"
    fix(deployed, told["registry"][1])


def test_an_image_that_is_gone_is_named_with_the_line_that_pushes_it(deployed: Program, settings: Settings) -> None:
    app = parse_reference(deployed.output("images")["app"])

    async def delete_tag() -> None:
        async with pushing(settings) as registry:
            await registry.delete(app.repository, str(app.tag))

    asyncio.run(delete_tag())
    status, told = doctor(deployed)
    assert status == 1
    assert to_fix(told).keys() == {"image app"}
    fix(deployed, told["image app"][1])


def test_a_daemon_that_is_not_there_is_told(deployed: Program) -> None:
    status, told = doctor(deployed, DOCKER_HOST="tcp://127.0.0.1:1")
    assert status == 1
    assert to_fix(told).keys() == {"docker"}
    assert "cannot connect to the Docker daemon at tcp://127.0.0.1:1" in told["docker"][1]


def test_nodes_that_were_never_asked_are_told(lab: Lab, deployed: Program) -> None:
    lab.kubectl("delete", "configmap", PROBE, "--namespace", NAMESPACE)
    status, told = doctor(deployed)
    assert status == 1
    assert {subject.partition(" ")[0] for subject in to_fix(told)} == {"node"}
    fix(deployed, next(iter(to_fix(told).values())))


def test_probe_pods_that_were_left_are_deleted_by_the_command_and_no_others(
    lab: Lab, deployed: Program, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(*, left: bool) -> Finding:
        async with open_client(settings) as kube:
            if left:
                pod = probe_pod("localhost:1/none:1", lab.cluster.nodes[0].name, "left")
                await kube.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
            (line,) = await checks.probes(kube)
        return line

    monkeypatch.setattr(node_tests, "LEFT_SECONDS", -1.0)
    others = {pod["metadata"]["name"] for pod in lab.get("pods", "--namespace", NAMESPACE)}
    line = asyncio.run(look(left=True))
    assert line.well is False
    deployed.paste(commands_of(line.words))
    assert asyncio.run(look(left=False)).well is True
    assert {pod["metadata"]["name"] for pod in lab.get("pods", "--namespace", NAMESPACE)} == others


@contextmanager
def small_volume(lab: Lab, room: int) -> Iterator[None]:
    """Give the registry a copy of its volume that has only so many bytes left."""
    (pod,) = lab.get("pods", "--namespace", NAMESPACE, "--selector", selector(REGISTRY))
    node = pod["spec"]["nodeName"]
    others = [each.name for each in lab.cluster.nodes if each.name != node]
    (claim,) = lab.get("persistentvolumeclaims", "--namespace", NAMESPACE)
    (volume,) = (
        each for each in lab.get("persistentvolumes") if each["metadata"]["name"] == claim["spec"]["volumeName"]
    )
    folder, copy = volume["spec"]["hostPath"]["path"], "/tmp/small"  # noqa: S108 - on the node's own machine

    def on_node(script: str) -> None:
        inside = Machine(known(lab.cluster.name), node).inside("sh", "-ec", script)
        subprocess.run(inside, check=True, capture_output=True, timeout=30)

    def restart() -> None:
        lab.kubectl("delete", "pods", "--namespace", NAMESPACE, "--selector", selector(REGISTRY))
        lab.kubectl("rollout", "status", f"deployment/{REGISTRY}", "--namespace", NAMESPACE, "--timeout=60s")

    lab.kubectl("cordon", *others)
    try:
        on_node(
            f"mkdir -p {copy}; size=$(( $(du -s {folder} | cut -f1) * 1024 + {room} ))\n"
            f"mount -t tmpfs -o size=$size,mode=1777 lab {copy}; cp -a {folder}/. {copy}; mount --bind {copy} {folder}"
        )
        restart()
        yield
    finally:
        on_node(f"umount --lazy {folder}; umount --lazy {copy}")
        restart()
        lab.kubectl("uncordon", *others)


def test_a_volume_that_is_nearly_full_gets_room_by_the_command_and_keeps_what_is_used(
    lab: Lab, deployed: Program, settings: Settings
) -> None:
    async def fill() -> None:
        async with pushing(settings) as registry:
            for number in range(5):
                config = probe_config(settings.platform)
                await registry.put_image("heap", str(number), config, os.urandom(GARBAGE))

    with small_volume(lab, 5 * GARBAGE + MB):
        asyncio.run(fill())
        status, told = doctor(deployed)
        assert status == 1
        assert to_fix(told).keys() == {"volume"}
        (collect,) = (line for line in commands_of(told["volume"][1]) if "registryctl gc" in line)
        deployed.paste([f"{collect} --yes"])
        status, told = doctor(deployed)
        assert (status, to_fix(told)) == (0, {})


def test_a_service_that_is_gone_is_told_though_the_nodes_have_pulled_before(lab: Lab, deployed: Program) -> None:
    lab.kubectl("delete", "service", REGISTRY, "--namespace", NAMESPACE)
    status, told = doctor(deployed)
    assert status == 1
    assert to_fix(told).keys() == {"read door"}
    fix(deployed, told["read door"][1])


@pytest.fixture
def unwritable(lab: Lab) -> Iterator[Callable[[str], object]]:
    """The volume's folder belongs to root, as on NFS with root_squash; what is given runs a command on its node."""
    (pod,) = lab.get("pods", "--namespace", NAMESPACE, "--selector", selector("registry"))
    (claim,) = lab.get("persistentvolumeclaims", "--namespace", NAMESPACE)
    (volume,) = (
        each for each in lab.get("persistentvolumes") if each["metadata"]["name"] == claim["spec"]["volumeName"]
    )
    machine, folder = Machine(known(lab.cluster.name), pod["spec"]["nodeName"]), volume["spec"]["hostPath"]["path"]

    def on_node(command: str) -> None:
        subprocess.run(machine.inside("sh", "-c", command), check=True, capture_output=True, timeout=30)

    uploads = f"{folder}/docker/registry/v2/repositories/{REPOSITORY}/_uploads"
    on_node(f"chown -R root:root {folder} && chmod 0755 {folder} {uploads}")
    yield on_node
    on_node(f"chown -R 1000:1000 {folder}")


def test_a_volume_that_the_registry_cannot_write_is_reported_by_an_update_that_pushes_nothing(
    deployed: Program, unwritable: Callable[[str], object]
) -> None:
    assert "cannot write to its volume" in deployed.failing_up()
    status, told = doctor(deployed)
    assert status == 1
    assert to_fix(told).keys() == {"write door"}
    words = told["write door"][1]
    assert "permission denied" in words
    assert "the registry runs as uid 1000" in words
    assert deployed.preview().keys() == {"same"}  # which writes nothing
    chown = next(line for line in words.split("`") if line.startswith("chown "))
    unwritable(chown)
    deployed.paste(commands_of(words))
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
    assert to_fix(told).keys() == {"cluster"}
    assert told["docker"][0] == "?"


def test_a_stack_that_nobody_knows_is_one_sentence(deployed: Program) -> None:
    done = deployed.run("python", "-m", "registryctl", "doctor", "--stack", "nobodys")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no stack named 'nobodys' found" in done.stderr
    assert len(done.stderr.splitlines()) == 1
