"""What `make up KUBE_CONTEXT=NAME` decides before it starts."""

import os
import shlex
from pathlib import Path

import pytest

from lab import own_cluster
from lab.errors import LabError
from lab.progress import Progress
from lab.stacks import registry_stack


def program(folder: Path, script: str) -> Path:
    file = folder / "pulumi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("kube_context", "name"),
    [
        ("kind-kind", "demo-kind-kind"),
        ("docker-desktop", "demo-docker-desktop"),
        ("dev", "demo-dev"),
        ("arn:aws:eks:eu-west-1:1:cluster/prod", "demo-arn-aws-eks-eu-west-1-1-cluster-prod-"),
        ("a" * 200, f"demo-{'a' * 80}-"),
    ],
)
def test_a_stack_is_named_after_its_kube_context(kube_context: str, name: str) -> None:
    assert own_cluster.stack_name(kube_context).startswith(name)
    assert len(own_cluster.stack_name(kube_context)) <= 100


def test_two_kube_contexts_have_two_stacks() -> None:
    names = {own_cluster.stack_name(kube_context) for kube_context in ("a/b", "a:b", "a-b")}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("architectures", "platform"),
    [(["amd64"], "linux/amd64"), (["arm64", "amd64"], "linux/amd64"), (["arm64"], "linux/arm64"), ([], "linux/amd64")],
)
def test_images_are_for_the_nodes(architectures: list[str], platform: str) -> None:
    nodes = [{"status": {"nodeInfo": {"architecture": architecture}}} for architecture in architectures]
    assert own_cluster._platform(nodes) == platform


@pytest.mark.parametrize("script", ["echo v3.100.0", "exit 1"])
def test_a_pulumi_that_does_not_serve_is_named(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = program(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LabError, match=rf"{found} is older than 3\.244 or does not run.*Fix: "):
        own_cluster.variables("kind", Progress())


@pytest.mark.parametrize("kube_context", ["kind", "a b"])
def test_a_failed_update_names_the_shell_for_the_commands_that_it_prints(
    kube_context: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    shell = own_cluster._make("shell", kube_context)
    with pytest.raises(LabError) as failed:
        registry_stack("demo", os.environ, shell).run("up")
    assert shell in str(failed.value)
    assert shlex.split(shell) == ["make", "shell", f"KUBE_CONTEXT={kube_context}"]


class TestWherePulumiIsLoggedIn:
    @pytest.mark.parametrize(
        "words",
        [
            "error: this command requires logging in; try running `pulumi login` first",
            "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
        ],
    )
    def test_nowhere(self, words: str, tmp_path: Path) -> None:
        assert own_cluster._login(program(tmp_path, f"echo '{words}' >&2; exit 3")) is None

    def test_it_does_not_say(self, tmp_path: Path) -> None:
        pulumi = program(tmp_path, "echo 'error: could not get cloud url: EOF' >&2; exit 255")
        with pytest.raises(LabError, match=r"could not get cloud url: EOF\. Fix: "):
            own_cluster._login(pulumi)
