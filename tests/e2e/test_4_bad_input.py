"""Wrong turns that only a cluster or the engine can tell of: one sentence each, in seconds, nothing half-made."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.preconditions import prove_reach
from stack.api_errors import CertificateError, CredentialsError
from stack.errors import ClusterError
from stack.settings import Settings
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
            (no_authority, CertificateError, "shows a certificate that is not trusted"),
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


class TestOnTheEngine:
    def test_a_docker_daemon_that_does_not_run_is_told_before_anything_is_made(
        self, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        env = cast("dict[str, str]", program.stack.workspace.env_vars)
        monkeypatch.setitem(env, "DOCKER_HOST", "unix:///nowhere.sock")
        text = program.failing_up()
        assert "no Docker daemon answers at unix:///nowhere.sock" in text
        assert "Traceback" not in text

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ({"kubeContext": "nowhere"}, f"it has no such kube context, it has lab-{STACK}"),
            ({"images.app.context": "./nowhere"}, "nowhere is not a folder"),
            ({"nodeprt": "30100"}, "there is no such setting, nodePort is meant"),
        ],
    )
    def test_what_can_be_known_first_makes_nothing(self, program: Program, setting: dict[str, str], words: str) -> None:
        with program.changed(setting):
            text = program.failing_up()
        assert words in text
        assert "Traceback" not in text
        assert [resource["type"] for resource in program.state().get("resources", [])] == ["pulumi:pulumi:Stack"]

    def test_a_namespace_that_is_there_is_not_taken_over(self, lab: Lab, program: Program) -> None:
        with program.changed({"namespace": "kube-public"}):
            text = program.failing_up()
        assert "is there already and not this stack's" in text
        assert "pulumi import kubernetes:core/v1:Namespace registry-namespace kube-public" in text
        assert "kube-public" in {item["metadata"]["name"] for item in lab.get("namespaces")}

    @pytest.mark.parametrize(
        ("port", "words"),
        [
            ("30099", "service holder in namespace default has it"),
            ("80", "provided port is not in the valid range. The range of valid ports is 30000-32767"),
        ],
    )
    def test_a_node_port_that_cannot_be_had_is_explained(
        self, lab: Lab, program: Program, port: str, words: str
    ) -> None:
        lab.kubectl("create", "service", "nodeport", "holder", "--tcp=80", "--node-port=30099")
        try:
            with program.changed({"nodePort": port}):
                text = program.failing_up()
        finally:
            lab.kubectl("delete", "service", "holder")
        assert f"node port {port} cannot be had in namespace kube-registry" in text
        assert words in text
        assert "`pulumi config set nodePort 30000` chooses one that is free" in text

    def test_after_all_this_an_up_succeeds(self, program: Program) -> None:
        assert set(program.up()) <= {"create", "same"}
