"""One stack's life, in the order in which a person lives it; each test goes on where the one before ended."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from kube_registry.build.build import read_build
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import ANY_MANIFEST
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import Settings
from tests.e2e.conftest import Lab, Program, new_program, settings_of
from tests.fakes.writing import pushing

pytestmark = pytest.mark.lab

RESOURCES = 14
"""The stack itself, two providers, two components, six objects in the cluster, one image."""


def web_pods(lab: Lab) -> list[dict[str, Any]]:
    return lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=downstream")


def registry_url(lab: Lab, program: Program, path: str) -> str:
    """The read door as the first node's own address gives it."""
    return f"http://{lab.cluster.nodes[0].address}:{program.output('registry')['nodePort']}{path}"


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestJourney:
    def test_up_creates_everything_and_exports_plain_strings(self, lab: Lab, program: Program) -> None:
        assert replace(program, warm=None).up() == {"create": RESOURCES}, "as users run it"
        reference = parse_reference(program.output("image"))
        assert reference.host == "localhost:30100"
        assert reference.repository == "app"
        assert reference.digest
        assert program.output("images") == {"app": program.output("image")}
        assert program.output("tagged") == {"app": f"{reference.host}/app:{reference.tag}"}
        assert program.output("registry") == {
            "namespace": "kube-registry",
            "nodePort": 30100,
            "pullHost": "localhost:30100",
            "clusterHost": "registry-read.kube-registry.svc:5001",
            "pushAddress": settings_of(lab).endpoints.push_address,
        }

    def test_the_tunnel_is_open_while_an_image_holds_it_and_no_longer(self, lab: Lab, program: Program) -> None:
        assert program.output("image")
        asyncio.run(hold_twice(settings_of(lab)))

    def test_a_second_up_changes_nothing(self, program: Program) -> None:
        assert program.up() == {"same": RESOURCES}

    def test_every_node_runs_the_digest_that_the_registry_holds(
        self, lab: Lab, program: Program, downstream: Program
    ) -> None:
        downstream.up()
        reference = parse_reference(program.output("image"))
        manifest = urllib.request.Request(registry_url(lab, program, f"/v2/app/manifests/{reference.tag}"))  # noqa: S310
        manifest.add_header("Accept", ANY_MANIFEST)
        with urllib.request.urlopen(manifest, timeout=10) as answer:  # noqa: S310
            assert answer.headers["Docker-Content-Digest"] == reference.digest
        pods = web_pods(lab)
        assert {pod["spec"]["nodeName"] for pod in pods} == {node.name for node in lab.cluster.nodes}
        for pod in pods:
            (container,) = pod["status"]["containerStatuses"]
            assert container["ready"]
            assert pod["spec"]["containers"][0]["image"] == program.output("image")
            assert container["imageID"].endswith(str(reference.digest))

    def test_preview_shows_no_change(self, program: Program, downstream: Program) -> None:
        assert program.preview() == {"same": RESOURCES}
        assert set(downstream.preview()) == {"same"}

    def test_nor_does_one_from_another_checkout_with_another_umask(
        self, lab: Lab, program: Program, tmp_path: Path
    ) -> None:
        other = tmp_path / "elsewhere"
        before = os.umask(0o077)
        try:
            write_anew(program.folder, other)
            assert (other / "app" / "Dockerfile").stat().st_mode & 0o777 == 0o600
            assert new_program(lab, program.folder, other).preview() == {"same": RESOURCES}
        finally:
            os.umask(before)

    def test_a_preview_of_a_change_shows_it_and_opens_no_tunnel(self, lab: Lab, program: Program) -> None:
        (program.folder / "app" / "site" / "version").write_text("2\n")
        with socket.create_server(("127.0.0.1", settings_of(lab).push_port)) as listener:
            listener.settimeout(0)
            changes, outputs = program.preview_of_outputs()
            assert changes == {"same": RESOURCES - 1, "update": 1}
            tag = read_build("app", ImageSettings(context="./app"), "linux/amd64", program.folder).tag
            assert outputs["tagged"] == {"app": f"localhost:30100/app:{tag}"}
            with pytest.raises(BlockingIOError):
                listener.accept()

    def test_an_edit_changes_the_image_and_what_runs_it_only(
        self, lab: Lab, program: Program, downstream: Program
    ) -> None:
        before = program.output("image")
        assert program.up() == {"same": RESOURCES - 1, "update": 1}
        assert program.output("image") != before
        assert downstream.up()["update"] == 1
        running = [pod for pod in web_pods(lab) if "deletionTimestamp" not in pod["metadata"]]  # old ones may still end
        assert {pod["spec"]["nodeName"] for pod in running} == {node.name for node in lab.cluster.nodes}
        for pod in running:
            url = f"http://{pod['status']['podIP']}:8080/version"
            assert lab.fetch(url) == "2\n"

    def test_registryctl_lists_the_image_and_finds_nothing_wrong(self, program: Program) -> None:
        listed = program.registryctl("images")
        assert str(parse_reference(program.output("image")).tag) in listed.stdout, listed.stderr
        assert program.registryctl("reference", "app").stdout.strip() == program.output("tagged")["app"]
        doctor = program.registryctl("doctor")
        assert doctor.returncode == 0, doctor.stdout

    def test_refresh_finds_nothing_changed(self, program: Program, downstream: Program) -> None:
        for one in (program, downstream):
            assert set(one.refresh()) == {"same"}

    def test_nobody_writes_through_the_node_port(self, lab: Lab, program: Program) -> None:
        upload = urllib.request.Request(registry_url(lab, program, "/v2/app/blobs/uploads/"), method="POST")  # noqa: S310
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(upload, timeout=10)  # noqa: S310
        assert refused.value.code == 405

    def test_a_push_through_the_tunnel_can_be_read_from_a_node(self, lab: Lab, program: Program) -> None:
        blob = b"pushed by hand " * 100_000
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        asyncio.run(push_blob(settings_of(lab), blob))
        with urllib.request.urlopen(registry_url(lab, program, f"/v2/by/hand/blobs/{digest}"), timeout=10) as answer:  # noqa: S310
            assert answer.read() == blob

    def test_a_saved_file_is_pushed_by_dev_and_the_next_up_finds_nothing_to_do(self, program: Program) -> None:
        before = program.output("image")
        command = [sys.executable, "-m", "registryctl", "dev", "--stack", program.stack.name]
        env = program.stack.workspace.env_vars
        with subprocess.Popen(command, cwd=program.folder, env=env, stdout=PIPE, text=True) as dev:
            assert dev.stdout
            try:
                assert next(line for line in dev.stdout if "nothing to do" in line)
                (program.folder / "app" / "site" / "version").write_text("3\n")
                assert next(line for line in dev.stdout if "pushed in" in line)
            finally:
                dev.send_signal(signal.SIGINT)
        assert program.output("image") != before
        assert program.up() == {"same": RESOURCES}

    def test_destroy_leaves_nothing_in_the_cluster(self, lab: Lab, program: Program, downstream: Program) -> None:
        downstream.destroy()
        program.destroy()
        assert web_pods(lab) == []
        assert "kube-registry" not in {item["metadata"]["name"] for item in lab.get("namespaces")}
        lab.kubectl("wait", "--for=delete", "persistentvolumes", "--all", "--timeout=20s")  # goes behind its claim
        assert lab.get("persistentvolumes") == []


def write_anew(checkout: Path, folder: Path) -> None:
    """Another checkout: the same files, written by somebody else at another time."""
    for source in checkout.rglob("*"):
        path = source.relative_to(checkout)
        if source.is_file() and not {"state", ".kube-registry", "__pycache__"} & {*path.parts}:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(source.read_bytes())


async def push_blob(settings: Settings, blob: bytes) -> None:
    """Upload one blob through a tunnel of its own."""
    async with pushing(settings) as registry:
        await registry.put_blob("by/hand", blob)


async def hold_twice(settings: Settings) -> None:
    """What two images of one update do with the push path."""
    path, said = PushPath(settings), list[str]()
    for holder in ("one", "two"):
        await path.take(holder, lambda _, line: said.append(line))
    assert is_listening(settings.push_port)
    assert [line.partition(",")[0] for line in said] == [
        "waiting for the registry to become ready",
        f"waiting for an answer on {settings.endpoints.push_address}",
        f"waiting for every node to pull from {settings.endpoints.pull_host}",
    ]
    await path.give_back("one")
    assert is_listening(settings.push_port)
    await path.give_back("two")
    assert not is_listening(settings.push_port)
