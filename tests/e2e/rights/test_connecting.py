"""A real API server, asked as a pod's service account and with a credential plugin whose token is taken away."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kube_registry.kube.client import open_client
from kube_registry.kube.errors import CredentialPluginFailedError, ForbiddenError
from kube_registry.kube.websocket import open_websocket
from kube_registry.tunnel.frames import PROTOCOL
from lab.toolchain import tool
from tests.e2e.commands import commands_of, paste, tried
from tests.e2e.conftest import Lab
from tests.fakes.connecting import in_a_pod, kubeconfig, settings

pytestmark = [pytest.mark.lab, pytest.mark.anyio]
NAMESPACE = "connecting"
ACCOUNT = "reader"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@dataclass(frozen=True)
class Reader:
    """A service account that may list pods and nothing else."""

    lab: Lab
    cluster: dict[str, Any]

    def token(self) -> str:
        return self.kubectl("create", "token", ACCOUNT)

    def kubectl(self, *words: str) -> str:
        return self.lab.kubectl("--namespace", NAMESPACE, *words)

    def plugin(self, folder: Path) -> Path:
        """A kubeconfig whose plugin gets the service account's token as EKS' gets one from Amazon."""
        ask = f"{tool('kubectl')} --kubeconfig {self.lab.cluster.kubeconfig} -n {NAMESPACE} create token {ACCOUNT}"
        answer = '{"kind": "ExecCredential", "apiVersion": "%s", "status": {"token": "\'$(%s)\'"}}'
        version = "client.authentication.k8s.io/v1"
        program = folder / "plugin"
        program.write_text(f"#!/bin/sh\necho '{answer % (version, ask)}'\necho >> {folder}/runs\n")
        program.chmod(0o755)
        who = {"exec": {"apiVersion": version, "command": "./plugin", "interactiveMode": "Never"}}
        return kubeconfig(folder / "config", self.cluster, who)


@pytest.fixture(scope="module")
def reader(lab: Lab) -> Iterator[Reader]:
    (cluster,) = json.loads(lab.cluster.kubeconfig.read_text())["clusters"]
    reader = Reader(lab, cluster["cluster"])
    lab.kubectl("create", "namespace", NAMESPACE)
    reader.kubectl("create", "serviceaccount", ACCOUNT)
    reader.kubectl("create", "role", ACCOUNT, "--verb=list", "--resource=pods")
    reader.kubectl("create", "rolebinding", ACCOUNT, f"--role={ACCOUNT}", f"--serviceaccount={NAMESPACE}:{ACCOUNT}")
    yield reader
    lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


async def test_a_pod_asks_with_its_service_account(reader: Reader, tmp_path: Path) -> None:
    ca = base64.b64decode(reader.cluster["certificate-authority-data"])
    (tmp_path / "ca.crt").write_bytes(ca)
    (tmp_path / "token").write_text(reader.token())
    assert (await in_a_pod(tmp_path, reader.cluster["server"], PODS))["kind"] == "PodList"


async def test_a_token_that_is_taken_away_is_asked_for_anew_while_the_client_is_open(
    reader: Reader, tmp_path: Path
) -> None:
    """Before its first use, because the API server knows a token for ten seconds more than it is valid."""
    async with open_client(settings(reader.plugin(tmp_path))) as kube:
        reader.kubectl("delete", "serviceaccount", ACCOUNT)
        reader.kubectl("create", "serviceaccount", ACCOUNT)
        assert len((tmp_path / "runs").read_text()) == 1
        assert (await kube.get(PODS))["kind"] == "PodList"
        await kube.get(PODS)
        assert len((tmp_path / "runs").read_text()) == 2


async def test_kubectl_shows_when_a_plugin_works_again(reader: Reader, tmp_path: Path) -> None:
    chosen, folder = settings(reader.plugin(tmp_path)), tmp_path
    works = (folder / "plugin").read_text()
    (folder / "plugin").write_text("#!/bin/sh\necho log in first >&2\nexit 1\n")
    with pytest.raises(CredentialPluginFailedError) as raised:
        async with open_client(chosen) as kube:
            await kube.get(PODS)
    (line,) = commands_of(raised.value)
    assert tried(line, folder, reader.lab.env).returncode != 0
    (folder / "plugin").write_text(works)
    paste(line, folder, reader.lab.env)
    async with open_client(chosen) as kube:
        await kube.get(PODS)


async def test_the_right_that_an_upgrade_lacks_is_named(reader: Reader, tmp_path: Path) -> None:
    async with open_client(settings(reader.plugin(tmp_path))) as kube:
        with pytest.raises(ForbiddenError) as raised:
            async with open_websocket(kube, f"{PODS}/registry-1/portforward", PROTOCOL, ports="5000"):
                pass
        assert raised.value.user == f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        assert raised.value.verb in {"get", "create"}  # create from Kubernetes 1.35 on
        assert (raised.value.resource, raised.value.namespace) == ("pods/portforward", NAMESPACE)
