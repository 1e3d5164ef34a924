"""A stack moves from a volume to a bucket and loses no image, by the steps of docs/bucket.md."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from pulumi import automation

from kube_registry.names import selector
from kube_registry.registry.probe_image import probe_config
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from lab.crane import CRANE
from lab.toolchain import build
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, new_program, settings_of
from tests.e2e.pulls import pulled
from tests.e2e.s3.conftest import BUCKET
from tests.fakes.writing import pushing, tunnelled
from tests.s3_server import LITERALS, S3Server

pytestmark = pytest.mark.lab

NAMESPACE, OTHER = "kube-registry", "kube-registry-moving"
LAYER = os.urandom(1024)
"""Of the image that was pushed by hand."""


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path) -> Iterator[Program]:
    """The program with a volume."""
    made = new_program(lab, checkout, checkout)
    made.configure(
        kubeContext=lab.cluster.kube_context, kubeconfig=str(lab.cluster.kubeconfig), images_app_context="./app"
    )
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def moving(lab: Lab, checkout: Path, program: Program) -> Iterator[Program]:
    """The second stack of the same program."""
    made = new_program(lab, checkout, program.folder, f"{program.stack.name}-moving")
    made.configure(
        kubeContext=lab.cluster.kube_context,
        kubeconfig=str(lab.cluster.kubeconfig),
        namespace=OTHER,
        nodePort="30101",
        images_app_context="./app",
    )
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def crane() -> Path:
    build(CRANE)
    found = CRANE.find()
    assert found
    return found["crane"]


@dataclass(frozen=True)
class Move:
    """The stack, and what it had before."""

    lab: Lab
    program: Program
    s3: S3Server
    settings: Settings

    def use_bucket(self, program: Program) -> None:
        """Set the bucket in a stack."""
        program.configure(
            **{f"s3_{key}": str(value) for key, value in self.s3.settings(BUCKET, rootFolder="registry").items()}
        )

    def claims(self) -> list[str]:
        """The uids of the claims that stay."""
        listed = self.lab.get("persistentvolumeclaims", "--namespace", NAMESPACE)
        return [each["metadata"]["uid"] for each in listed if "deletionTimestamp" not in each["metadata"]]

    def add_keys(self, namespace: str) -> None:
        self.lab.kubectl("create", "secret", "generic", "keys-of-s3", *LITERALS, "--namespace", namespace)

    def nodes_pull(self) -> bool:
        """Whether every node pulls the image of the stack."""
        image = self.program.output("image")
        digest = parse_reference(image).digest
        return pulled(self.lab, image) == {node.name: digest for node in self.lab.cluster.nodes}

    async def layer(self) -> bytes | None:
        """The layer of the image that was pushed by hand."""
        async with pushing(self.settings) as registry:
            manifest = json.loads(await registry.manifest("by/hand", "v1") or "{}")
            return await registry.blob("by/hand", manifest["layers"][0]["digest"]) if manifest else None


@pytest.fixture(scope="module")
def move(lab: Lab, program: Program, s3: S3Server) -> Move:
    program.up()
    settings = settings_of(lab)

    async def push() -> None:
        async with pushing(settings) as registry:
            await registry.put_image("by/hand", "v1", probe_config(settings.platform), LAYER)

    asyncio.run(push())
    return Move(lab, program, s3, settings)


class TestMove:
    """Each test is a step, and begins where the one before has ended."""

    def test_a_volume_that_would_be_deleted_stops_preview_and_update_and_the_commands_retain_it(
        self, move: Move
    ) -> None:
        claims, pods = move.claims(), pods_of(move.lab)
        move.use_bucket(move.program)
        with pytest.raises(automation.CommandError) as refused:
            move.program.preview()
        said = move.program.failing_up()
        for text in (said, str(refused.value)):
            assert "setting s3: the update would delete the registry's volume in namespace kube-registry" in text
            assert "Traceback" not in text
        assert (move.claims(), pods_of(move.lab)) == (claims, pods)
        *retain, remove = commands_of(said, "pulumi")
        assert remove.endswith(" rm retain")
        move.program.paste(retain)
        assert (move.claims(), pods_of(move.lab)) == (claims, pods)

    def test_all_is_copied_through_two_tunnels(self, move: Move, moving: Program, crane: Path) -> None:
        move.use_bucket(moving)
        assert "not found" in moving.failing_up()
        move.add_keys(OTHER)
        moving.up()
        there = move.settings.model_copy(update={"namespace": OTHER, "node_port": 30101})

        async def copy() -> None:
            async with tunnelled(move.settings) as (_, old), tunnelled(there) as (_, new):
                await asyncio.to_thread(copy_all, crane, f"localhost:{old.port}", f"localhost:{new.port}")

        asyncio.run(copy())

    def test_the_stack_then_has_all_images_and_leaves_the_volume(self, move: Move) -> None:
        claims = move.claims()
        move.add_keys(NAMESPACE)
        move.program.run("pulumi", "config", "rm", "retain", "--stack", move.program.stack.name)
        move.use_bucket(move.program)
        move.program.up()
        assert move.claims() == claims
        assert set(move.program.up()) == {"same"}
        assert asyncio.run(move.layer()) == LAYER
        assert move.nodes_pull()

    def test_nothing_needs_the_second_stack_nor_the_volume(self, move: Move, moving: Program) -> None:
        moving.destroy()
        move.lab.kubectl("delete", "persistentvolumeclaim", "registry", "--namespace", NAMESPACE)
        assert asyncio.run(move.layer()) == LAYER
        assert move.nodes_pull()


class TestHousekeeping:
    """Of the registry with a bucket; each test begins where the one before has ended."""

    @pytest.mark.parametrize("words", [("images",), ("gc", "--yes")], ids=["images", "gc"])
    def test_a_command_that_lists_a_volume_says_what_to_do_instead(self, move: Move, words: tuple[str, ...]) -> None:
        done = move.program.registryctl(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert f"registryctl {words[0]} lists the files of a volume" in done.stderr
        assert f"in the bucket {BUCKET}" in done.stderr
        move.program.paste(commands_of(done.stderr))

    def test_the_doctor_reads_the_images_back_and_finds_no_fault(self, move: Move) -> None:
        done = move.program.registryctl("doctor")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"none: the images are in bucket {BUCKET} of {move.s3.endpoint}" in done.stdout
        assert "can write to the bucket" in done.stdout

    def test_every_byte_is_compared_and_damage_is_repaired_by_the_lines_that_are_printed(self, move: Move) -> None:
        assert verified(move) == (0, "all content matches its digests")
        digest = asyncio.run(largest_layer(move))
        key = f"registry/docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"
        file = f"{move.s3.filer}/buckets/{BUCKET}/{key}"
        assert requests.get(file, timeout=10).ok
        requests.post(file, files={"file": b"other bytes"}, timeout=10).raise_for_status()
        status, said = verified(move)
        assert status == 1
        assert f"blob {digest}" in said
        assert f"Fix: delete these objects from the bucket {BUCKET} first, if they exist: {key}" in said
        requests.delete(file, timeout=10).raise_for_status()
        move.program.paste(commands_of(said, "pulumi up"))
        assert verified(move) == (0, "all content matches its digests")

    def test_what_was_removed_by_hand_is_collected_by_the_registry_itself(self, move: Move, crane: Path) -> None:
        async def remove() -> None:
            async with tunnelled(move.settings) as (_, tunnel):
                name = f"localhost:{tunnel.port}/by/hand"
                digest = await asyncio.to_thread(run, crane, "digest", f"{name}:v1")
                await asyncio.to_thread(run, crane, "delete", f"{name}@{digest.strip()}")

        asyncio.run(remove())
        collect = ("registry", "garbage-collect", "/etc/distribution/write.yml")
        door = ("deployment/registry", "--container", "write", "--namespace", NAMESPACE)
        said = move.lab.kubectl("exec", *door, "--", *collect)
        assert "blob eligible for deletion" in said
        assert asyncio.run(move.layer()) is None
        assert move.nodes_pull()
        assert move.program.registryctl("doctor").returncode == 0


def verified(move: Move) -> tuple[int, str]:
    """The exit status of `registryctl verify`, and what it prints after the line with the figures."""
    done = move.program.registryctl("verify")
    assert done.stderr == ""
    return done.returncode, done.stdout.partition("\n")[2].strip()


async def largest_layer(move: Move) -> str:
    """The digest of the largest layer of the image of the stack."""
    image = parse_reference(move.program.output("image"))
    async with pushing(move.settings) as registry:
        manifest = json.loads(await registry.manifest(image.repository, str(image.digest)) or "{}")
    return str(max(manifest["layers"], key=lambda layer: layer["size"])["digest"])


def pods_of(lab: Lab) -> set[str]:
    listed = lab.get("pods", "--namespace", NAMESPACE, "--selector", selector("registry"))
    return {pod["metadata"]["uid"] for pod in listed}


def copy_all(crane: Path, old: str, new: str) -> None:
    """The loop of docs/bucket.md."""
    for repository in run(crane, "catalog", old).split():
        run(crane, "copy", "--all-tags", f"{old}/{repository}", f"{new}/{repository}")


def run(crane: Path, *words: str) -> str:
    done = subprocess.run([crane, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
