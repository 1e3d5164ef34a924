"""The lines that `registryctl verify` prints."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from kube_registry.cli.stack_registry import StackRegistry
from kube_registry.cli.state import DeployedRegistry
from kube_registry.cli.verify import in_pod
from kube_registry.spec.settings import Settings

CONTENTS = json.dumps({"users": [{"name": "u", "user": {"token": "s3cr3t"}}]}, indent=1)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pulumi` that prints the kubeconfig of a stack's config, and a `kubectl` that writes down how it was run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "contents").write_text(CONTENTS)
    scripts = {
        "pulumi": f'[ "$*" = "config get kubeconfig --stack acme/dev" ] && cat {tmp_path}/contents',
        "kubectl": f'echo "$*" > {tmp_path}/arguments; echo $KUBECONFIG > {tmp_path}/file; cat "$KUBECONFIG"',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def run(line: str) -> str:
    return subprocess.run(["sh", "-c", line], check=True, capture_output=True, text=True).stdout


def stack(kubeconfig: str, deployed: DeployedRegistry | None = None) -> StackRegistry:
    config = {"kubeContext": "here", "kubeconfig": kubeconfig, "images": {"app": {}}}
    settings = Settings.parse(config, project="kube-registry", stack="dev")
    return StackRegistry("kube-registry", "acme/dev", settings, deployed)


def test_a_kubeconfig_of_the_config_is_in_a_file_while_kubectl_runs_and_not_in_the_line(programs: Path) -> None:
    line = in_pod(stack(CONTENTS), ["rm", "-rf", "a b"])
    assert "s3cr3t" not in line
    assert run(line).strip() == CONTENTS
    assert (programs / "arguments").read_text().startswith("exec --context here --namespace kube-registry deployment/")
    assert not Path((programs / "file").read_text().strip()).exists()


def test_a_path_is_in_the_line(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    run(in_pod(stack("/my/config"), ["ls"]))
    assert (programs / "arguments").read_text().startswith("exec --kubeconfig /my/config --context here ")


def test_a_kubeconfig_of_another_program_is_a_file_to_be_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    line = in_pod(stack(CONTENTS, DeployedRegistry("registry", {}, frozenset(), {})), ["ls"])
    assert "s3cr3t" not in line
    assert "pulumi" not in line
    run(line)
    assert (programs / "arguments").read_text().startswith("exec --kubeconfig FILE --context here ")
