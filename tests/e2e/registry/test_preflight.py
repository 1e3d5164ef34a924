"""The preflight on real nodes: what is asked, what is remembered, what is told, and that nothing of it stays."""

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from kube_registry.housekeeping.node_checks import read_proofs
from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.kube.pods import Object
from kube_registry.names import PROBE_REPOSITORY as REPOSITORY
from kube_registry.names import selector
from kube_registry.preflight import node_tests, preflight
from kube_registry.preflight.errors import PreflightError, PreflightReportedError
from kube_registry.preflight.preflight import examine_nodes, prove_nodes
from kube_registry.preflight.probe_pod import ARCHITECTURE, PROBE, PULLED, Verdict, probe_pod, verdict
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import open_registry
from kube_registry.registry.probe_image import TAG, store_probe
from kube_registry.spec.settings import Settings
from tests.e2e.conftest import STACK, Lab, Program
from tests.fakes.writing import tunnelled

pytestmark = [pytest.mark.lab, pytest.mark.anyio]

NOBODY_LISTENS = 30_999


@pytest.fixture(scope="module", autouse=True)
def deployed(program: Program) -> Program:
    program.up()
    return program


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the nodes that a probe pod is made for."""
    names: list[str] = []

    def noted(image: str, node: str, run: str) -> dict[str, object]:
        names.append(node)
        return probe_pod(image, node, run)

    monkeypatch.setattr(preflight, "probe_pod", noted)
    return names


def probes(lab: Lab) -> list[str]:
    pods = lab.get("pods", "--namespace", "kube-registry", "--selector", selector(PROBE))
    return [pod["metadata"]["name"] for pod in pods]


class TestMemory:
    async def test_what_an_update_has_proven_is_not_asked_again(self, settings: Settings, asked: list[str]) -> None:
        async with tunnelled(settings) as (kube, tunnel):
            verdicts = await examine_nodes(kube, settings, tunnel.address, afresh=False)
        assert [verdict is PULLED for verdict in verdicts.values()] == [True, True]
        assert asked == []

    async def test_a_node_whose_runtime_is_another_is_asked_again_and_no_other(
        self, lab: Lab, settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changed, same = lab.cluster.nodes

        async def with_a_new_runtime(kube: KubeClient) -> list[Node]:
            found = await linux_nodes(kube)
            return [replace(node, runtime="new://1") if node.name == changed.name else node for node in found]

        monkeypatch.setattr(preflight, "linux_nodes", with_a_new_runtime)
        async with tunnelled(settings) as (kube, tunnel):
            await examine_nodes(kube, settings, tunnel.address, afresh=False)
            await examine_nodes(kube, settings, tunnel.address, afresh=False)
        assert asked == [changed.name]
        assert same.name not in asked

    async def test_a_proof_by_way_of_the_node_proxy_is_none_without_it(
        self, lab: Lab, settings: Settings, asked: list[str]
    ) -> None:
        by_proxy = settings.model_copy(update={"exposure": "nodeProxy"})
        async with tunnelled(settings) as (kube, tunnel):
            await examine_nodes(kube, by_proxy, tunnel.address, afresh=True)
            asked.clear()
            await examine_nodes(kube, settings, tunnel.address, afresh=False)
        assert sorted(asked) == [node.name for node in lab.cluster.nodes]

    async def test_by_hand_all_are_asked(self, lab: Lab, settings: Settings, asked: list[str]) -> None:
        async with tunnelled(settings) as (kube, tunnel):
            await examine_nodes(kube, settings, tunnel.address, afresh=True)
        assert sorted(asked) == [node.name for node in lab.cluster.nodes]
        assert probes(lab) == []

    async def test_no_container_is_created(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: dict[str, set[str]] = {"reasons": set(), "containers": set()}

        def noted(pod: Object) -> Verdict | None:
            for container in pod["status"].get("containerStatuses", []):
                seen["reasons"].add(container["state"].get("waiting", {}).get("reason", "started"))
                seen["containers"].add(container.get("containerID", ""))
            return verdict(pod)

        monkeypatch.setattr(preflight, "verdict", noted)
        async with tunnelled(settings) as (kube, tunnel):
            await examine_nodes(kube, settings, tunnel.address, afresh=True)
        assert seen["reasons"] - {"ContainerCreating"} == {"CreateContainerConfigError"}
        assert seen["containers"] == {""}


class TestRefusal:
    async def test_the_table_is_for_the_first_image_and_a_line_for_the_others(
        self, lab: Lab, settings: Settings
    ) -> None:
        path, said = PushPath(settings.model_copy(update={"node_port": NOBODY_LISTENS})), list[str]()
        with pytest.raises(PreflightError) as first:
            await path.take("one", lambda _, line: said.append(line))
        with pytest.raises(PreflightReportedError):
            await path.take("two", lambda _, line: said.append(line))
        assert str(first.value).count("refused on loopback") == 2
        assert f"2 of 2 nodes cannot pull from localhost:{NOBODY_LISTENS}" in str(first.value)
        assert all(node.name in str(first.value) for node in lab.cluster.nodes)
        assert probes(lab) == []

    async def test_nodes_of_another_architecture_are_not_asked(self, settings: Settings, asked: list[str]) -> None:
        other = settings.model_copy(update={"platform": "linux/s390x"})
        async with tunnelled(other) as (kube, tunnel):
            with pytest.raises(PreflightError, match=ARCHITECTURE.words):
                await prove_nodes(kube, other, tunnel.address, print)
        assert asked == []

    async def test_a_quota_against_the_pods_is_told_as_such(self, lab: Lab, settings: Settings) -> None:
        lab.kubectl("create", "quota", "no-more", "--namespace", "kube-registry", "--hard=pods=1")
        try:
            async with tunnelled(settings) as (kube, tunnel):
                lab.kubectl("delete", "configmap", PROBE, "--namespace", "kube-registry")
                verdicts = await examine_nodes(kube, settings, tunnel.address, afresh=True)
                unanswered = await read_proofs(kube, settings)
                lab.kubectl("delete", "quota", "no-more", "--namespace", "kube-registry")
                await examine_nodes(kube, settings, tunnel.address, afresh=False)
                proven = await read_proofs(kube, settings)
        finally:
            lab.kubectl("delete", "quota", "no-more", "--namespace", "kube-registry", "--ignore-not-found")
        assert all("probe pod rejected" in verdict.words for verdict in verdicts.values())
        assert all("quota: no-more" in verdict.words for verdict in verdicts.values())
        assert [each.well for each in unanswered.findings] == [None, None]
        assert all("quota: no-more" in each.words for each in unanswered.findings)
        assert [each.well for each in proven.findings] == [True, True]


class TestNothingStays:
    async def test_what_a_broken_off_run_left_is_swept_away(
        self, lab: Lab, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with tunnelled(settings) as (kube, tunnel):
            left = probe_pod(f"localhost:30100/{REPOSITORY}:{TAG}", lab.cluster.nodes[0].name, "left")
            await kube.create("/api/v1/namespaces/kube-registry/pods", left)
            assert len(probes(lab)) == 1
            monkeypatch.setattr(node_tests, "LEFT_SECONDS", -1.0)
            await examine_nodes(kube, settings, tunnel.address, afresh=True)
        assert probes(lab) == []

    async def test_a_run_that_is_broken_off_removes_its_pods(self, lab: Lab, settings: Settings) -> None:
        with pytest.raises(TimeoutError):
            async with tunnelled(settings) as (kube, tunnel), asyncio.timeout(0.4):
                await examine_nodes(kube, settings, tunnel.address, afresh=True)
        assert probes(lab) == []

    async def test_the_repository_keeps_one_image(self, settings: Settings) -> None:
        async with tunnelled(settings) as (kube, tunnel), open_registry(tunnel.address, kube.where) as registry:
            other = await store_probe(registry, "linux/arm64")
            own = await store_probe(registry, settings.platform)
            assert await registry.tagged(REPOSITORY, TAG) == own
            assert await registry.tagged(REPOSITORY, other) is None


def test_by_hand_it_prints_a_table_and_says_by_its_status_whether_all_is_well(program: Program, lab: Lab) -> None:
    command = [sys.executable, "-m", "registryctl", "preflight", "--stack", STACK]
    env = dict(program.stack.workspace.env_vars)
    done = subprocess.run(command, cwd=program.folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [(row[0], row[-1]) for row in rows[1:3]] == [(node.name, "pulled") for node in lab.cluster.nodes]
    assert "2 of 2 nodes can pull from localhost:30100" in done.stdout
