"""What goes wrong around a push on the real engine: it ends in one sentence, leaves nothing half-made and is mended."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from kube_registry.limits import HOOK_SECONDS, PUSH_TRIES
from lab.cluster import known as plan_of
from lab.waiting import wait_for
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, settings_of

pytestmark = pytest.mark.lab

LARGE = 60_000_000
"""Bytes whose push takes long enough for something to happen meanwhile."""


def images_in_state(program: Program) -> set[str]:
    resources = program.state()["resources"]
    return {resource["urn"].rpartition("::")[2] for resource in resources if resource["type"].endswith(":Image")}


@contextmanager
def occupied(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


@contextmanager
def no_more_manifests(lab: Lab) -> Iterator[Callable[[], None]]:
    """Take the registry's right to write manifests; what is given takes it back early.

    Layers still go in: the daemon would try those again for a minute, but not a manifest.
    """
    volumes = plan_of(lab.cluster.name).volumes
    folders = [path for top in volumes.rglob("_manifests") for path in (top, *top.rglob("*")) if path.is_dir()]
    modes = {folder: folder.stat().st_mode for folder in folders}
    assert modes

    def fix() -> None:
        for folder, mode in modes.items():
            folder.chmod(mode)

    for folder in modes:
        folder.chmod(0o555)
    try:
        yield fix
    finally:
        fix()


def other_app(program: Program) -> str:
    """Another build context, so that an image of its own can be broken while the rest is well."""
    folder = program.folder / "other"
    shutil.copytree(program.folder / "app", folder)
    return "./other"


class TestFaults:
    """One stack with three images; each test leaves it as it should be."""

    def test_a_busy_push_port_fails_the_update_before_anything_is_built(self, lab: Lab, program: Program) -> None:
        program.configure(images_one_context="./app", images_two_context="./app")
        with occupied(settings_of(lab).push_port):
            text = program.failing_up()
        assert f"cannot listen on port {settings_of(lab).push_port} of this machine" in text
        program.paste(commands_of(text, "pushPort"))
        assert "Traceback" not in text
        assert images_in_state(program) == set()
        assert not program.state().get("pending_operations")
        assert lab.get("deployments", "--namespace", "kube-registry")

    def test_the_next_up_repairs_it_and_three_images_share_one_tunnel(self, lab: Lab, program: Program) -> None:
        lines, port = list[str](), settings_of(lab).push_port
        with occupied(port):
            program.up(lines.append)
        assert images_in_state(program) == {"app", "one", "two"}
        assert sum("waiting for an answer on" in line for line in lines) == 1
        assert sum("waiting for the Docker daemon to reach" in line for line in lines) == 1
        rows = [line.split() for line in lines if "reading the image back" in line]
        assert {row[row.index("docker:index:Image") + 1] for row in rows} == images_in_state(program)
        with occupied(port + 1):
            pass

    def test_a_build_that_fails_is_not_built_again(self, program: Program) -> None:
        program.configure(images_one_context=other_app(program))
        dockerfile = program.folder / "other" / "Dockerfile"
        good = dockerfile.read_text()
        dockerfile.write_text("FROM busybox:stable\nCOPY nowhere /site\n")
        text = program.failing_up()
        dockerfile.write_text(good)
        assert "nowhere" in text
        assert "retrying" not in text
        assert "the push failed" not in text

    def test_a_push_that_fails_is_tried_again_and_says_why_each_time(self, lab: Lab, program: Program) -> None:
        (program.folder / "other" / "site" / "version").write_text("other\n")
        with no_more_manifests(lab):
            text = program.failing_up()
        row = text.partition("Diagnostics:")[2].partition("Resources:")[0]
        assert row.count("the push failed: ") == PUSH_TRIES
        assert not program.state().get("pending_operations")

    def test_a_push_that_fails_once_succeeds_on_its_next_try(self, lab: Lab, program: Program) -> None:
        lines: list[str] = []
        with no_more_manifests(lab) as fix:

            def watch(line: str) -> None:
                lines.append(line)
                if "the push failed: " in line:
                    fix()

            program.up(watch)
        row = "\n".join(lines).partition("Diagnostics:")[2]
        assert row.count("the push failed: ") == 1

    def test_a_registry_that_is_replaced_during_a_push_holds_it_up_no_longer_than_it_takes(
        self, lab: Lab, program: Program
    ) -> None:
        (program.folder / "other" / "site" / "large").write_bytes(os.urandom(LARGE))
        with ThreadPoolExecutor(1) as thread:
            update = thread.submit(program.up)
            wait_for(lambda: update.done() or is_uploading(lab), "an upload", log=Path("/dev/null"), seconds=60)
            assert not update.done()
            lab.kubectl("delete", "pods", "--namespace", "kube-registry", "--all", "--wait=false")
            assert update.result(timeout=HOOK_SECONDS)["update"] == 1


def is_uploading(lab: Lab) -> bool:
    """Whether a part of a large layer has arrived at the registry, and not yet all of it."""
    try:
        parts = plan_of(lab.cluster.name).volumes.rglob("_uploads/*/data")
        return any(part.stat().st_size > LARGE / 10 for part in parts)
    except FileNotFoundError:  # an upload ended between the listing and the look
        return False


class TestReadiness:
    """A registry that cannot be pulled, until its image is corrected."""

    def test_it_fails_every_up_with_the_kubelets_words(self, program: Program) -> None:
        program.configure(registryImage="docker.io/library/registry:of-no-such-tag")
        for _ in range(2):
            text = program.failing_up()
            assert "the registry in namespace kube-registry of kube context" in text
            assert "ErrImagePull" in text or "ImagePullBackOff" in text

    def test_ctrl_c_ends_the_wait_well_within_the_bound_of_a_hook(self, program: Program) -> None:
        command = ["pulumi", "up", "--yes", "--skip-preview", "--stack", program.stack.name, "--non-interactive"]
        env = dict(program.stack.workspace.env_vars)
        with subprocess.Popen(command, cwd=program.folder, env=env, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout
            assert any("waiting for the registry to become ready, until" in line for line in run.stdout)
            run.send_signal(signal.SIGINT)
            interrupted = time.monotonic()
            run.communicate(timeout=HOOK_SECONDS)
        assert time.monotonic() - interrupted < HOOK_SECONDS / 12
        assert run.returncode != 0
        assert not is_locked(program)
        assert not program.state().get("pending_operations")

    def test_the_next_up_with_the_right_image_repairs_it(self, program: Program) -> None:
        program.configure(registryImage="docker.io/library/registry:3.1.2")
        assert program.up()["update"] == 1


def is_locked(program: Program) -> bool:
    """Whether a run has left its lock in the state."""
    return bool(list((program.folder / "state" / ".pulumi" / "locks").rglob("*.json")))
