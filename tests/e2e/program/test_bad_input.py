"""Wrong turns that only a cluster or the engine can tell of: one sentence each, in seconds, nothing half-made."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from kube_registry.errors import ClusterError
from kube_registry.kube.errors import CertificateError, CredentialsError
from kube_registry.registry.preconditions import prove_reach
from kube_registry.spec.settings import Settings
from tests.e2e.commands import commands_of, paste, tried
from tests.e2e.conftest import STACK, Lab, Program

pytestmark = pytest.mark.lab


def wrong_token(config: dict[str, Any]) -> None:
    config["users"][0]["user"] = {"token": "of nobody"}


def no_authority(config: dict[str, Any]) -> None:
    del config["clusters"][0]["cluster"]["certificate-authority-data"]


class TestReach:
    @pytest.mark.parametrize(
        ("damage", "kind", "words"),
        [
            (wrong_token, CredentialsError, "does not accept the credentials of this kube context: Unauthorized"),
            (no_authority, CertificateError, "has a certificate that is not trusted"),
        ],
    )
    def test_credentials_and_certificates_that_are_refused(
        self, lab: Lab, tmp_path: Path, damage: Callable[[dict[str, Any]], None], kind: type[ClusterError], words: str
    ) -> None:
        config = json.loads(lab.cluster.kubeconfig.read_text())
        damage(config)
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config))
        chosen = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(file), "images": {"app": {}}}
        with pytest.raises(ClusterError) as raised:
            asyncio.run(prove_reach(Settings.parse(chosen, project="kube-registry", stack="bad")))
        assert type(raised.value) is kind
        assert words in str(raised.value)

    def test_kubectl_shows_when_credentials_are_accepted_again(self, lab: Lab, tmp_path: Path) -> None:
        file = tmp_path / "kube config"
        chosen = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(file), "images": {"app": {}}}
        settings = Settings.parse(chosen, project="kube-registry", stack="bad")
        config = json.loads(lab.cluster.kubeconfig.read_text())
        wrong_token(config)
        file.write_text(json.dumps(config))
        with pytest.raises(CredentialsError) as raised:
            asyncio.run(prove_reach(settings))
        (line,) = commands_of(raised.value)
        assert tried(line, tmp_path, lab.env).returncode != 0
        shutil.copy(lab.cluster.kubeconfig, file)
        paste(line, tmp_path, lab.env)
        asyncio.run(prove_reach(settings))


class TestOnTheEngine:
    def test_a_docker_daemon_that_does_not_run_is_told_before_anything_is_made(
        self, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        env = cast("dict[str, str]", program.stack.workspace.env_vars)
        monkeypatch.setitem(env, "DOCKER_HOST", "unix:///nowhere.sock")
        text = program.failing_up()
        assert "cannot connect to the Docker daemon at unix:///nowhere.sock" in text
        assert "Traceback" not in text

    def test_pulumi_preview_fails_until_there_is_a_daemon(self, program: Program) -> None:
        env = program.stack.workspace.env_vars
        wrong = {**env, "DOCKER_HOST": "unix:///nowhere.sock"}
        failed = program.registryctl("review", DOCKER_HOST=wrong["DOCKER_HOST"])
        assert failed.returncode == 1
        (line,) = commands_of(failed.stdout + failed.stderr, "docker info")
        assert tried(line, program.folder, wrong).returncode != 0
        paste(line, program.folder, env)
        assert program.registryctl("review").returncode == 0

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ({"kubeContext": "nowhere"}, f"it has no such kube context, only lab-{STACK}"),
            ({"images.app.context": "./nowhere"}, "nowhere is not a folder"),
            ({"nodeprt": "30100"}, "there is no such setting; the most similar one is nodePort"),
        ],
        ids=["kube context", "folder", "name"],  # the same in every process, unlike the name of its cluster
    )
    def test_what_can_be_known_first_makes_nothing(self, program: Program, setting: dict[str, str], words: str) -> None:
        with program.changed(setting):
            text = program.failing_up()
        assert words in text
        assert "Traceback" not in text
        assert [resource["type"] for resource in program.state().get("resources", [])] == ["pulumi:pulumi:Stack"]

    def test_a_namespace_and_a_node_port_that_are_taken_are_explained(self, lab: Lab, program: Program) -> None:
        """Nothing is taken over unasked; the commands lead to an update that succeeds, with another stack selected."""
        lab.kubectl("create", "namespace", "taken")
        lab.kubectl("create", "service", "nodeport", "holder", "--tcp=80", "--node-port=30099")
        paste("pulumi stack init selected", program.folder, program.stack.workspace.env_vars)
        program.configure(namespace="kube-public", nodePort="30099")
        text = program.failing_up()
        assert "kube-public of kube context" in text
        assert "already exists, and is not part of this stack" in text
        program.paste(line.replace("NAME", "taken") for line in commands_of(text, "set namespace"))
        text = program.failing_up()
        assert "namespace taken of kube context" in text
        program.paste(commands_of(text, "pulumi import"))
        text = program.failing_up()
        assert "already exists" not in text
        assert "service holder in namespace default uses it" in text
        program.paste(commands_of(text, "nodePort"))
        assert program.up()
        assert program.output("registry")["nodePort"] == 30000
        assert program.output("registry")["namespace"] == "taken"
        lab.kubectl("delete", "service", "holder")

    def test_a_node_port_outside_the_range_is_explained(self, program: Program) -> None:
        with program.changed({"nodePort": "80"}):
            text = program.failing_up()
        assert "node port 80 is not available in namespace taken" in text
        assert "provided port is not in the valid range. The range of valid ports is 30000-32767" in text
        assert commands_of(text, "nodePort") == [f"pulumi config --stack {STACK} set nodePort 30000"]  # its own
