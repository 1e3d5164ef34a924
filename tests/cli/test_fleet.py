"""`registryctl fleet`, as far as it needs no cluster: the first fleet.yaml, the list, what is refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.cli.conftest import Verb

MINE = "defaults: {images: {app: {}}}\nstacks: [{name: mine, kubeContext: kind-eu}]\n"
CONTEXTS = ["kind-eu", "arn:aws:eks:us-east-1:1:cluster/shop", "kind-eu@admin"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program's, on a machine that knows three kube contexts."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\nconfig: {kubeContext: {}, images: {}}\n")
    entries = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in CONTEXTS]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"contexts": entries, "clusters": [], "users": []}))
    return tmp_path


@pytest.fixture
def fleet(registryctl: Verb, folder: Path) -> Verb:
    """A verb of `fleet`, in that folder."""

    def run(*words: str, **env: str) -> CompletedProcess[str]:
        return registryctl(folder, "fleet", *words, **{"KUBECONFIG": str(folder / "kubeconfig"), **env})

    return run


def test_the_first_fleet_lists_every_kube_context(fleet: Verb) -> None:
    begun = fleet("init")
    assert (begun.returncode, begun.stderr) == (0, "")
    listed = json.loads(fleet("list", "--json").stdout)
    assert [stack["kubeContext"] for stack in listed] == CONTEXTS
    assert len({stack["name"] for stack in listed}) == len(CONTEXTS)


def test_a_fleet_that_is_there_is_not_lost(fleet: Verb, folder: Path) -> None:
    (folder / "fleet.yaml").write_text(MINE)
    again = fleet("init")
    assert again.returncode == 1
    assert "the file already exists" in again.stderr
    assert "mine" in (folder / "fleet.yaml").read_text()


def test_the_list_is_in_the_order_of_the_rollout_and_of_what_is_chosen(fleet: Verb, folder: Path) -> None:
    (folder / "fleet.yaml").write_text(
        "defaults: {images: {app: {}}}\n"
        "stacks:\n"
        "- {name: late, kubeContext: a, wave: 2, labels: {region: eu}}\n"
        "- {name: first, kubeContext: b, labels: {region: eu}}\n"
        "- {name: other, kubeContext: c, labels: {region: us}}\n"
    )
    listed = json.loads(fleet("list", "--json").stdout)
    assert [stack["name"] for stack in listed] == ["first", "other", "late"]
    table = fleet("list", "--label", "region=eu").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["stack", "first", "late"]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["list"], 1, "Fix: `.venv/bin/python -m registryctl fleet init`"),
        (["up", "--stacks", "nowhere"], 1, "Fix: `.venv/bin/python -m registryctl fleet init`"),
        (["list", "--label", "region"], 2, "--label takes key=value"),
        (["status", "--label", "region"], 2, "--label takes key=value"),
        (["up", "--parallel", "0"], 2, "--parallel"),
    ],
)
def test_what_is_refused_is_one_sentence(fleet: Verb, words: list[str], status: int, sentence: str) -> None:
    done = fleet(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert sentence in done.stderr.splitlines()[-1]


def test_a_kubeconfig_without_contexts_makes_no_fleet(fleet: Verb, folder: Path) -> None:
    done = fleet("init", KUBECONFIG=str(folder / "nowhere"))
    assert done.returncode == 1
    assert not (folder / "fleet.yaml").exists()
    (sentence,) = done.stderr.splitlines()
    assert "nowhere" in sentence


def test_destroy_asks_first(fleet: Verb, folder: Path) -> None:
    (folder / "fleet.yaml").write_text(MINE)
    done = fleet("destroy")
    assert done.returncode == 1
    assert "Remove the registries and all images of mine?" in done.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_its_question_can_be_ended(folder: Path, end: signal.Signals) -> None:
    (folder / "fleet.yaml").write_text(MINE)
    command = [sys.executable, "-m", "registryctl", "fleet", "destroy"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr
        assert b"Remove the registries" in os.read(running.stderr.fileno(), 1000)
        running.send_signal(end)
        assert running.wait(20) != 0  # its standard input stays open, as a terminal does


def test_without_pulumi_the_sentence_says_so(fleet: Verb, folder: Path) -> None:
    (folder / "fleet.yaml").write_text(MINE)
    done = fleet("up", PATH="/nowhere")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "pulumi" in done.stderr


OF_TWO = (
    "defaults: {images: {app: {}}}\nstacks: [{name: eu, kubeContext: a}, {name: us, kubeContext: b, labels: {c: us}}]"
)


@pytest.mark.parametrize("options", [["--stacks", "u*"], ["--label", "c=us", "--parallel", "1", "--deadline", "60"]])
def test_the_old_name_of_a_review_takes_its_old_options(fleet: Verb, folder: Path, options: list[str]) -> None:
    (folder / "fleet.yaml").write_text(OF_TWO)
    (folder / "pulumi").write_text("#!/bin/sh\necho v3.300.0\n")
    (folder / "pulumi").chmod(0o755)
    reviewed = fleet("preview", *options, PATH=f"{folder}:/usr/bin:/bin")
    assert reviewed.returncode == 1
    assert [line.split()[0] for line in reviewed.stdout.splitlines()[:1]] == ["us"]
    assert "kube context 'a'" not in reviewed.stdout
    assert "`registryctl review`" in reviewed.stderr


def test_the_old_name_of_a_review_says_what_it_has_no_more(fleet: Verb) -> None:
    refused = fleet("preview", "--json")
    assert refused.returncode == 2
    assert "--markdown" in refused.stderr
