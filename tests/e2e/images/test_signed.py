"""A signed image, verified by cosign in a pod: by the address for pods, and in a pod that shares its node's network.

The lab's clusters have no DNS, so the pods get the name of the Service from their hosts file. The key is a file, and no
transparency log is used: both would need the internet.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kube_registry.names import READ_SERVICE
from kube_registry.spec.settings import Settings
from lab.cosign import COSIGN
from lab.toolchain import build
from tests.e2e.conftest import Lab, Program
from tests.fakes.writing import tunnelled

pytestmark = pytest.mark.lab

NAMESPACE = "kube-registry"
KEY = ("--key=/key/cosign.pub", "--insecure-ignore-tlog")
"""Verify with a key of one's own, without the public transparency log."""

DOCKERFILE = 'FROM scratch\nCOPY cosign /cosign\nENTRYPOINT ["/cosign"]\n'


@dataclass(frozen=True)
class Signed:
    """A stack with two images: app is signed, cosign is not."""

    program: Program
    image: str
    unsigned: str

    @property
    def cluster_host(self) -> str:
        """The address for pods."""
        return str(self.program.output("registry")["clusterHost"])

    def for_pods(self, reference: str) -> str:
        """A pull reference as docs/in-cluster.md says: with the address for pods in place of localhost and its port."""
        return f"{self.cluster_host}/{reference.partition('/')[2]}"


@pytest.fixture(scope="module")
def cosign() -> Path:
    build(COSIGN)
    found = COSIGN.find()
    assert found
    return found["cosign"]


@pytest.fixture(scope="module")
def key(cosign: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a key pair, and of a configuration that names no service for signing."""
    folder = tmp_path_factory.mktemp("key")
    run(cosign, folder, "generate-key-pair")
    run(cosign, folder, "signing-config", "create", "--out=none.json")
    return folder


@pytest.fixture(scope="module")
def signed(lab: Lab, program: Program, settings: Settings, cosign: Path, key: Path) -> Iterator[Signed]:
    context = program.folder / "cosign"
    context.mkdir()
    shutil.copy(cosign, context)
    (context / "Dockerfile").write_text(DOCKERFILE)
    program.configure(images_cosign_context="./cosign")
    program.up()
    images = program.output("images")
    repository = images["app"].partition("/")[2]

    async def sign() -> None:
        async with tunnelled(settings) as (_, tunnel):
            command = ("sign", "--key=cosign.key", "--signing-config=none.json", f"{tunnel.address}/{repository}")
            await asyncio.to_thread(run, cosign, key, *command)

    asyncio.run(sign())
    lab.kubectl("create", "configmap", "key", f"--from-file={key / 'cosign.pub'}")
    yield Signed(program, images["app"], images["cosign"])
    lab.kubectl("delete", "configmap", "key")


def run(cosign: Path, folder: Path, *words: str) -> None:
    done = subprocess.run(
        [cosign, *words],
        cwd=folder,
        env={**os.environ, "COSIGN_PASSWORD": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def in_pod(lab: Lab, signed: Signed, *words: str, **spec: object) -> tuple[int, str]:
    """The exit status of cosign in a pod, and what it prints; `spec` are further fields of the pod's spec."""
    lab.kubectl("apply", "--filename", "-", given=json.dumps(pod(lab, signed, words, spec)))
    try:
        lab.kubectl(
            "wait", "pod/cosign", "--for=jsonpath={.status.containerStatuses[0].state.terminated}", "--timeout=25s"
        )
        (made,) = (each for each in lab.get("pods") if each["metadata"]["name"] == "cosign")
        status = made["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        return int(status), lab.kubectl("logs", "cosign")
    finally:
        lab.kubectl("delete", "pod", "cosign")


def pod(lab: Lab, signed: Signed, words: tuple[str, ...], spec: dict[str, object]) -> dict[str, Any]:
    (service,) = (
        each for each in lab.get("services", "--namespace", NAMESPACE) if each["metadata"]["name"] == READ_SERVICE
    )
    hosts = [{"ip": service["spec"]["clusterIP"], "hostnames": [signed.cluster_host.partition(":")[0]]}]
    container = {
        "name": "cosign",
        "image": signed.unsigned,
        "args": words,
        "volumeMounts": [{"name": "key", "mountPath": "/key"}],
    }
    volumes = [{"name": "key", "configMap": {"name": "key"}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "cosign"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "hostAliases": hosts,
            "containers": [container],
            "volumes": volumes,
            **spec,
        },
    }


def test_a_pod_verifies_by_the_address_for_pods(lab: Lab, signed: Signed) -> None:
    reference = signed.for_pods(signed.image)
    status, printed = in_pod(lab, signed, "verify", *KEY, "--allow-http-registry", reference)
    assert status == 0, printed
    assert signed.image.rpartition("@")[2] in printed


def test_a_pod_lists_the_signature_by_the_address_for_pods(lab: Lab, signed: Signed) -> None:
    status, printed = in_pod(lab, signed, "tree", "--allow-http-registry", signed.for_pods(signed.image))
    assert status == 0, printed
    assert "sigstore" in printed


def test_plain_http_has_to_be_allowed(lab: Lab, signed: Signed) -> None:
    status, printed = in_pod(lab, signed, "verify", *KEY, signed.for_pods(signed.image))
    assert status == 1
    assert "server gave HTTP response to HTTPS client" in printed


def test_an_image_that_is_not_signed_is_refused(lab: Lab, signed: Signed) -> None:
    reference = signed.for_pods(signed.unsigned)
    status, printed = in_pod(lab, signed, "verify", *KEY, "--allow-http-registry", reference)
    assert status != 0
    assert "no signatures found" in printed


def test_localhost_is_the_pod_itself(lab: Lab, signed: Signed) -> None:
    status, printed = in_pod(lab, signed, "verify", *KEY, signed.image)
    assert status == 1
    assert "connection refused" in printed


def test_a_pod_in_the_network_of_its_node_verifies_the_reference_of_a_workload(lab: Lab, signed: Signed) -> None:
    status, printed = in_pod(lab, signed, "verify", *KEY, signed.image, hostNetwork=True)
    assert status == 0, printed


def test_a_collection_keeps_the_signature_with_its_image(lab: Lab, signed: Signed) -> None:
    done = signed.program.registryctl("gc", "--keep", "1", "--yes")
    assert done.returncode == 0, done.stderr
    reference = signed.for_pods(signed.image)
    status, printed = in_pod(lab, signed, "verify", *KEY, "--allow-http-registry", reference)
    assert status == 0, printed
