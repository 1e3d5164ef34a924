"""What `registryctl exposure --write` writes, and what it leaves to a person. tests/e2e/lab has the rest."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kube_registry.names import REGISTRY_TYPE
from tests.fakes.connecting import kubeconfig
from tests.fakes.fake_cluster import FakeCluster, run_fake_cluster

pytestmark = pytest.mark.anyio

OWN = "name: shop\nconfig: {kubeContext: {type: string}, images: {type: object}}\n"
NODE = {
    "metadata": {"name": "one", "uid": "uid", "labels": {}},
    "spec": {},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {
            "operatingSystem": "linux",
            "architecture": "amd64",
            "containerRuntimeVersion": "containerd://2.4.2",
            "kubeletVersion": "v1.37.2",
        },
    },
}

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """A cluster of one node, whose kube-proxy runs in nftables mode."""
    container = {"name": "kube-proxy", "args": ["--proxy-mode=nftables"]}
    async with run_fake_cluster() as cluster:
        cluster.add("/api/v1/nodes", NODE)
        daemon_set = {"spec": {"template": {"spec": {"containers": [container]}}}}
        cluster.add("/apis/apps/v1/namespaces/kube-system/daemonsets", daemon_set)
        yield cluster


@pytest.fixture
def exposure(tmp_path: Path, cluster: FakeCluster) -> Run:
    """The verb, in a folder whose `pulumi` answers with two files and writes down how it was run."""
    config = kubeconfig(tmp_path / "kubeconfig", {"server": cluster.server}, {})
    (tmp_path / "bin").mkdir()
    answers = f'"config --json") cat {tmp_path}/config.json;; "stack export") cat {tmp_path}/state.json;;'
    (tmp_path / "bin" / "pulumi").write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/run\ncase "$1 $2" in {answers} esac\n'
    )
    (tmp_path / "bin" / "pulumi").chmod(0o755)

    async def run(*options: str, **more: object) -> tuple[int, str]:
        given = {"kubeContext": "here", "kubeconfig": str(config), "images": '{"app": {}}', **more}
        (tmp_path / "config.json").write_text(
            json.dumps({f"shop:{key}": {"value": each} for key, each in given.items()})
        )
        env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-m", "registryctl", "exposure", "--stack", "dev", *options]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    return run


def written(folder: Path) -> list[str]:
    """The commands of `pulumi` that change the config."""
    return [line for line in (folder / "run").read_text().splitlines() if line.startswith(("config set", "config rm"))]


async def test_without_write_the_command_is_printed(exposure: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(OWN)
    status, said = await exposure()
    assert status == 1
    assert "one   nftables    not served, by its configuration" in said
    assert "nodes that serve node ports on loopback: 0 of 1\n" in said
    assert "the cluster needs exposure nodeProxy, the stack has nodePort\n" in said
    assert said.endswith("Fix: `pulumi config --stack dev set exposure nodeProxy`\n")
    assert written(tmp_path) == []


async def test_the_setting_is_written_and_its_old_name_removed(exposure: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(OWN)
    status, said = await exposure("--write", nodeProxy="false")
    assert (status, said.splitlines()[-1]) == (
        0,
        "wrote exposure nodeProxy into Pulumi.dev.yaml; `pulumi up --stack dev` applies it",
    )
    assert written(tmp_path) == [
        "config rm-all shop:nodeProxy --stack dev --non-interactive",
        'config set-all --json {"shop:exposure": {"value": "nodeProxy"}} --stack dev --non-interactive',
    ]


async def test_a_stack_that_has_what_it_needs_is_left_alone(exposure: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(OWN)
    status, _ = await exposure("--write", exposure="nodeProxy")
    assert status == 0
    assert written(tmp_path) == []


async def test_a_rollout_would_undo_it_so_the_line_for_its_file_is_printed(exposure: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(OWN)
    (tmp_path / "fleet.yaml").write_text("stacks: [{name: dev, kubeContext: here, images: {app: {}}}]\n")
    status, said = await exposure("--write")
    assert status == 1
    assert "stack dev: a rollout sets all settings of this stack, so Pulumi.dev.yaml was not changed" in said
    assert said.endswith("Fix: write `exposure: nodeProxy` there\n")
    assert written(tmp_path) == []


async def test_an_argument_in_a_program_is_named(exposure: Run, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: other\n")
    settings = {"kubeContext": "here", "kubeconfig": str(tmp_path / "kubeconfig"), "pushPort": 21000}
    component = {"urn": f"urn:pulumi:dev::other::{REGISTRY_TYPE}::registry", "type": REGISTRY_TYPE}
    resource = {**component, "outputs": {"settings": settings}}
    (tmp_path / "state.json").write_text(json.dumps({"deployment": {"resources": [resource]}}))
    status, said = await exposure("--write")
    assert status == 1
    assert said.endswith("Fix: the argument `exposure: nodeProxy` of ClusterRegistry 'registry'\n")
    assert written(tmp_path) == []


async def test_nothing_is_written_if_nothing_is_known(exposure: Run, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "Pulumi.yaml").write_text(OWN)
    cluster.objects.pop("/apis/apps/v1/namespaces/kube-system/daemonsets")
    cluster.refusals["/api/v1/nodes/one:10249/proxy/proxyMode"] = 503
    status, said = await exposure("--write")
    assert status == 1
    assert said.endswith("is not known, the stack has nodePort\n")
    assert written(tmp_path) == []


async def test_the_node_proxy_may_stay_where_it_is_not_needed(
    exposure: Run, tmp_path: Path, cluster: FakeCluster
) -> None:
    (tmp_path / "Pulumi.yaml").write_text(OWN)
    (daemon_set,) = cluster.objects["/apis/apps/v1/namespaces/kube-system/daemonsets"]
    daemon_set["spec"]["template"]["spec"]["containers"][0]["args"] = ["--proxy-mode=iptables"]
    status, said = await exposure(exposure="nodeProxy")
    assert status == 0
    assert "Fix:" not in said
    assert written(tmp_path) == []
    status, said = await exposure("--write", exposure="nodeProxy")
    assert (status, written(tmp_path)) == (
        0,
        ['config set-all --json {"shop:exposure": {"value": "nodePort"}} --stack dev --non-interactive'],
    )
