"""`registryctl images` and `gc` on a real cluster: what is listed, what goes, and that nothing in use ever does."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from subprocess import DEVNULL, PIPE

import pytest
import yaml
from rich.filesize import decimal

from kube_registry.housekeeping.gc import Collected, collect
from kube_registry.housekeeping.gc_plan import Keep, Plan
from kube_registry.housekeeping.last_collection import NAME as LAST
from kube_registry.housekeeping.volume_listing import V2
from kube_registry.kube.client import open_client
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.registry.api import CONFIG, LAYER, MANIFEST, digest_of
from kube_registry.registry.door import open_door
from kube_registry.registry.probe_image import probe_config
from kube_registry.registry.read_back import missing_content
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from lab.cluster import known as spec_of
from tests.e2e.commands import commands_of, paste, tried
from tests.e2e.conftest import Lab, Program
from tests.e2e.registry.test_registry import pulled
from tests.fakes.writing import pushing

pytestmark = [pytest.mark.lab, pytest.mark.anyio]

TAGS = ("one", "two", "three", "four", "five")
BYTES = 1024**2


@pytest.fixture(scope="module")
def deployed(program: Program, downstream: Program) -> Program:
    """A stack with an image that a Deployment runs."""
    program.up()
    downstream.up()
    return program


@pytest.fixture(scope="class")
def heap(deployed: Program, settings: Settings) -> dict[str, str]:  # noqa: ARG001 - it needs a registry
    """Images that nobody uses: tag -> digest, the oldest first. The tests leave them, up to the one that frees them."""
    return push_heap(settings)


def push_heap(settings: Settings) -> dict[str, str]:
    return {tag: push(settings, "heap", tag, os.urandom(BYTES)) for tag in TAGS}


def push(settings: Settings, repository: str, tag: str, layer: bytes) -> str:
    async def put() -> str:
        async with pushing(settings) as registry:
            return await registry.put_image(repository, tag, probe_config(settings.platform), layer)

    return asyncio.run(put())


async def push_by_sha512(settings: Settings, repository: str, tag: str, layer: bytes) -> str:
    """Push an image whose layer is named by another digest than sha256, which the registry takes; its own digest."""
    async with pushing(settings) as registry:
        config = await registry.put_blob(repository, probe_config(settings.platform))
        named = f"sha512:{hashlib.sha512(layer).hexdigest()}"
        place = await registry.begin_upload(repository)
        async with registry.http.put(place.update_query(digest=named), data=layer) as stored:
            assert stored.status == HTTPStatus.CREATED, await stored.text()
        parts = {
            "config": {"mediaType": CONFIG, **config},
            "layers": [{"mediaType": LAYER, "digest": named, "size": len(layer)}],
        }
        body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, **parts}).encode()
        path, headers = f"/v2/{repository}/manifests/{tag}", {"Content-Type": MANIFEST}
        async with registry.http.put(path, data=body, headers=headers) as stored:
            assert stored.status == HTTPStatus.CREATED, await stored.text()
        return digest_of(body)


def lacking(settings: Settings, repository: str, digest: str) -> list[str]:
    async def ask() -> list[str]:
        async with open_client(settings) as kube, open_door(kube, None) as registry:
            return await missing_content(registry, repository, digest)

    return asyncio.run(ask())


def stored(lab: Lab) -> int:
    """Bytes of all blobs on the volume."""
    return sum(file.stat().st_size for file in spec_of(lab.cluster.name).volumes.rglob("blobs/sha256/*/*/data"))


def last_collection(lab: Lab) -> list[datetime]:
    """When the last collection ended, from the Lease; empty if none has."""
    leases = lab.get("leases", "--namespace", "kube-registry", "--field-selector", f"metadata.name={LAST}")
    return [datetime.fromisoformat(lease["spec"]["renewTime"]) for lease in leases]


def listed(program: Program) -> dict[str, dict[str, object]]:
    """What `images --json` says, by repository and newest tag."""
    done = program.registryctl("images", "--json")
    assert done.returncode == 0, done.stderr
    return {f"{image['repository']}:{(image['tags'] or [''])[0]}": image for image in json.loads(done.stdout)["images"]}


@contextmanager
def pulled_meanwhile(lab: Lab, reference: str) -> Iterator[list[BaseException | None]]:
    """Pull an image again and again; None for each time that all of it came."""
    ended, seen = threading.Event(), list[BaseException | None]()

    def pull() -> None:
        while not ended.is_set():
            try:
                pulled(lab, reference)
                seen.append(None)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
                seen.append(error)

    thread = threading.Thread(target=pull)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


class TestImages:
    def test_what_runs_is_in_use_by_its_workload_and_on_its_nodes(self, lab: Lab, deployed: Program) -> None:
        app = parse_reference(deployed.output("images")["app"])
        image = listed(deployed)[f"app:{app.tag}"]
        assert image["digest"] == app.digest
        assert image["users"] == ["DaemonSet default/web", f"output of {deployed.stack.name}"]
        pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=downstream")
        assert image["nodes"] == sorted({pod["spec"]["nodeName"] for pod in pods})
        assert image["platforms"] == ["linux/amd64"]

    def test_what_is_shared_is_told_from_what_is_not(self, deployed: Program, settings: Settings) -> None:
        layer = os.urandom(BYTES)
        for repository in ("twins/a", "twins/b"):
            push(settings, repository, "v1", layer)
        push(settings, "single", "v1", os.urandom(BYTES))
        seen = listed(deployed)
        assert seen["twins/a:v1"]["uniqueBytes"] == 0
        assert seen["twins/a:v1"]["sharedBytes"] == seen["twins/a:v1"]["bytes"]
        assert BYTES < int(str(seen["single:v1"]["uniqueBytes"])) <= int(str(seen["single:v1"]["bytes"]))
        assert seen["single:v1"]["users"] == seen["single:v1"]["nodes"] == []

    def test_a_person_gets_a_table_and_the_room_that_is_left(self, deployed: Program) -> None:
        said = deployed.registryctl("images").stdout
        rows = said.splitlines()
        assert rows[0].split() == [
            "image",
            "digest",
            "platform",
            "bytes",
            "unique",
            "pushed",
            "in",
            "use",
            "by",
            "nodes",
        ]
        assert any(row.startswith("app:") and "DaemonSet default/web" in row for row in rows)
        assert any(row.startswith(f"{PROBE_REPOSITORY}:") and "the preflight" in row for row in rows)
        assert " free on the volume in namespace kube-registry" in rows[-1]


class TestGc:
    def test_a_dry_run_shows_it_and_leaves_everything(self, lab: Lab, deployed: Program, heap: dict[str, str]) -> None:
        before = listed(deployed)
        done = deployed.registryctl("gc", "--keep", "2", "--dry-run")
        assert done.returncode == 0
        assert {tag for tag in heap if f"heap:{tag} " in done.stdout} == {"one", "two", "three"}
        assert "app:" not in done.stdout
        assert listed(deployed) == before
        assert last_collection(lab) == []

    @pytest.mark.parametrize("answer", ["n\n", ""])
    def test_without_a_yes_nothing_goes(self, deployed: Program, heap: dict[str, str], answer: str) -> None:
        done = deployed.registryctl("gc", "--keep", "1", given=answer)
        assert done.returncode == 1
        assert "Remove them from the registry of" in done.stderr
        assert {f"heap:{tag}" for tag in heap} <= listed(deployed).keys()

    @pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
    def test_told_to_end_at_its_question_it_ends_and_nothing_goes(
        self, deployed: Program, heap: dict[str, str], end: signal.Signals
    ) -> None:
        command = [sys.executable, "-m", "registryctl", "gc", "--keep", "1", "--stack", deployed.stack.name]
        place, env = deployed.folder, deployed.stack.workspace.env_vars
        with subprocess.Popen(command, cwd=place, env=env, stdin=PIPE, stdout=DEVNULL, stderr=PIPE) as running:
            assert running.stderr
            assert b"Remove them from the registry of" in os.read(running.stderr.fileno(), 1000)
            running.send_signal(end)
            assert running.wait(20) != 0  # its standard input stays open, as a terminal does
        assert {f"heap:{tag}" for tag in heap} <= listed(deployed).keys()

    def test_what_is_young_stays(self, deployed: Program, heap: dict[str, str]) -> None:
        done = deployed.registryctl("gc", "--keep", "1", "--older-than", "1h", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {f"heap:{tag}" for tag in heap} <= listed(deployed).keys()

    def test_it_frees_what_it_said_and_no_pull_is_lost(
        self, lab: Lab, deployed: Program, settings: Settings, heap: dict[str, str]
    ) -> None:
        before = stored(lab)
        with pulled_meanwhile(lab, deployed.output("images")["app"]) as pulls:
            done = deployed.registryctl("gc", "--keep", "1", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert before - stored(lab) >= 4 * BYTES
        assert f" images and freed {decimal(before - stored(lab))}; " in done.stdout
        assert set(pulls) == {None}
        left = listed(deployed)
        assert [tag for tag in heap if f"heap:{tag}" in left] == ["five"]
        assert lacking(settings, "heap", heap["five"]) == []
        ended = last_collection(lab)
        assert ended
        again = deployed.registryctl("gc", "--keep", "1", "--yes")
        assert again.stdout.startswith("nothing to remove: all ")
        assert last_collection(lab) > ended, "the time of a collection that had nothing to remove is stored, too"

    def test_what_was_collected_can_be_pushed_again_and_every_byte_is_there(
        self, deployed: Program, settings: Settings
    ) -> None:
        layer = os.urandom(BYTES)
        digest = push(settings, "again", "old", layer)
        push(settings, "again", "new", b"newer")
        assert deployed.registryctl("gc", "--keep", "1", "--yes").returncode == 0
        assert lacking(settings, "again", digest) != []
        assert push(settings, "again", "old", layer) == digest
        assert lacking(settings, "again", digest) == []

    def test_a_workload_that_uses_it_by_tag_keeps_it(self, lab: Lab, deployed: Program, settings: Settings) -> None:
        digest = push(settings, "nightly", "v1", os.urandom(BYTES))
        push(settings, "nightly", "v2", b"newer")
        image = f"{settings.endpoints.pull_host}/nightly:v1"
        lab.kubectl("create", "cronjob", "nightly", f"--image={image}", "--schedule=0 3 1 1 *")
        try:
            assert deployed.registryctl("gc", "--keep", "1", "--yes").returncode == 0
            assert listed(deployed)["nightly:v1"]["users"] == ["CronJob default/nightly"]
            assert lacking(settings, "nightly", digest) == []
        finally:
            lab.kubectl("delete", "cronjob", "nightly")

    def test_a_layer_named_by_sha512_stops_it_until_the_image_is_pushed_again(
        self, deployed: Program, settings: Settings
    ) -> None:
        """The registry's own collection would remove that layer, and the registry took it."""
        layer = os.urandom(64)
        digest = asyncio.run(push_by_sha512(settings, "odd", "v1", layer))
        push(settings, "odd", "old", os.urandom(64))
        push(settings, "odd", "old", os.urandom(64))
        refused = deployed.registryctl("gc", "--keep", "9", "--yes")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"odd@{digest}" in refused.stderr
        assert lacking(settings, "odd", digest) == []
        again = push(settings, "odd", "v1", layer)
        (line,) = commands_of(refused.stderr)
        done = tried(line, deployed.folder, deployed.stack.workspace.env_vars, given="y\n")
        assert done.returncode == 0, done.stdout + done.stderr
        assert lacking(settings, "odd", again) == []
        assert f"odd@{digest}" not in deployed.registryctl("images").stdout

    def test_a_stack_that_did_not_deploy_the_registry_collects_nothing(
        self, lab: Lab, deployed: Program, settings: Settings
    ) -> None:
        heap = push_heap(settings)
        before = stored(lab)
        file = deployed.folder / f"Pulumi.{deployed.stack.name}.yaml"
        done = deployed.run("pulumi", "stack", "init", "other", "--no-select")
        assert done.returncode == 0, done.stderr
        own = yaml.safe_load((deployed.folder / "Pulumi.other.yaml").read_text())  # how its secrets are kept
        content = {**yaml.safe_load(file.read_text()), **own}
        (deployed.folder / "Pulumi.other.yaml").write_text(yaml.safe_dump(content))
        try:
            refused = deployed.run(
                sys.executable, "-m", "registryctl", "gc", "--keep", "1", "--yes", "--stack", "other"
            )
        finally:
            done = deployed.run("pulumi", "stack", "rm", "other", "--yes")
        assert (refused.returncode, done.returncode) == (1, 0)
        assert stored(lab) == before
        (line,) = (each for each in commands_of(refused.stderr) if "NAME" in each)
        deployed.paste([f"{line.replace('NAME', deployed.stack.name)} --keep 1 --yes"])
        *gone, kept = (f"heap:{tag}" for tag in heap)
        assert not listed(deployed).keys() & set(gone)
        assert kept in listed(deployed)

    def test_bad_input_is_one_sentence(self, deployed: Program) -> None:
        done = deployed.registryctl("gc", "--older-than", "soon")
        assert done.returncode == 2
        assert "'soon' is not a duration. Write it as 90m, 12h, 7d or 2w." in " ".join(done.stderr.split())

    @pytest.mark.parametrize("verb", ["images", "gc"])
    def test_a_registry_that_is_down_is_one_sentence(self, lab: Lab, deployed: Program, verb: str) -> None:
        scale = ("scale", "deployment/registry", "--namespace=kube-registry")
        lab.kubectl(*scale, "--replicas=0")
        try:
            done = deployed.registryctl(verb)
        finally:
            lab.kubectl(*scale, "--replicas=1")
            lab.kubectl("rollout", "status", "deployment/registry", "--namespace=kube-registry", "--timeout=30s")
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "no pod" in done.stderr


class TestUnreadable:
    @pytest.mark.parametrize("words", [("images",), ("verify",), ("gc", "--keep", "1", "--yes")])
    def test_a_folder_that_cannot_be_read_is_an_error(
        self, lab: Lab, deployed: Program, settings: Settings, words: tuple[str, ...]
    ) -> None:
        digest = push(settings, "unreadable", "v1", os.urandom(64))
        (folder,) = spec_of(lab.cluster.name).volumes.rglob("repositories/unreadable")
        mode = folder.stat().st_mode
        folder.chmod(0)
        try:
            done = deployed.registryctl(*words)
        finally:
            folder.chmod(mode)
        assert done.returncode == 1
        assert done.stdout == ""
        assert "unreadable: Permission denied" in done.stderr
        assert lacking(settings, "unreadable", digest) == []


class TestHarmed:
    """A registry whose files are not as it left them; the last tests, for nothing is whole behind them."""

    def test_the_registrys_own_words_are_told_when_its_collection_fails(self, lab: Lab, deployed: Program) -> None:
        remove(lab, "repositories")
        done = deployed.registryctl("gc", "--keep", "1", "--yes")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "failed to garbage collect: failed to mark: " in done.stderr
        (line,) = commands_of(done.stderr)
        assert "registry-" in paste(line, deployed.folder, deployed.stack.workspace.env_vars)

    def test_one_that_is_empty_is_no_error(self, lab: Lab, deployed: Program, settings: Settings) -> None:
        remove(lab, "blobs")
        done = deployed.registryctl("images")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("0 images, ")
        done = deployed.registryctl("gc", "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "nothing to remove: all 0 images are in use or kept\n"

        async def collected() -> Collected:
            async with asyncio.timeout(60), open_client(settings) as kube:
                nothing = Plan((), (), {}, {})
                return await collect(kube, [], Keep(newest=1), nothing, print)

        assert asyncio.run(collected()).images == ()


def remove(lab: Lab, folder: str) -> None:
    lab.kubectl(
        *("exec", "deployment/registry", "--namespace=kube-registry", "--container=write", "--"),
        *("rm", "-rf", f"{V2}/{folder}"),
    )
