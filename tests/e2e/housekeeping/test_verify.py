"""`registryctl verify` on a real cluster: damage of every kind is found, named, and mended by the lines it prints."""

import asyncio
import json
import os
import shlex
import shutil
from http import HTTPStatus
from pathlib import Path

import pytest

from kube_registry.registry.api import CONFIG, LAYER, MANIFEST, digest_of
from kube_registry.registry.probe_image import probe_config
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from lab.cluster import known as spec_of
from lab.toolchain import tool
from tests.e2e.commands import commands_of, tried
from tests.e2e.conftest import Lab, Program
from tests.e2e.housekeeping.test_gc import push
from tests.fakes.writing import pushing

pytestmark = pytest.mark.lab

BYTES = 1024**2
TAKES_AWAY, PUSHES_AGAIN = "Fix: remove the damaged files first: ", "Fix: push again: "


def file_of(lab: Lab, digest: str) -> Path:
    (file,) = spec_of(lab.cluster.name).volumes.rglob(f"{digest.removeprefix('sha256:')}/data")
    return file


def link_of(lab: Lab, of: str, digest: str) -> Path:
    """The file by which a repository has a blob (`of` is REPOSITORY/_layers) or a manifest (/_manifests/revisions)."""
    number = digest.removeprefix("sha256:")
    (file,) = spec_of(lab.cluster.name).volumes.rglob(f"repositories/{of}/sha256/{number}/link")
    return file


def verify(program: Program) -> tuple[int, str]:
    done = program.registryctl("verify")
    assert done.stderr == ""
    return done.returncode, done.stdout


def line_after(words: str, said: str) -> list[str]:
    (line,) = [line.removeprefix(words).strip("`") for line in said.splitlines() if line.startswith(words)]
    return shlex.split(line)


def take_away(program: Program, said: str) -> None:
    """Run the line that is printed, as a person would copy it."""
    kubectl, *words = line_after(TAKES_AWAY, said)
    done = program.run(str(tool(kubectl)), *words)
    assert done.returncode == 0, done.stderr


async def push_odd(settings: Settings) -> dict[str, str]:
    """Manifests that the registry takes and that are no plain images; tag -> digest."""
    index = "application/vnd.oci.image.index.v1+json"
    async with pushing(settings) as registry:
        config = await registry.put_blob("odd", probe_config("linux/amd64"))
        layer = {"mediaType": LAYER, **await registry.put_blob("odd", os.urandom(64))}
        image: dict[str, object] = {"mediaType": MANIFEST, "config": {"mediaType": CONFIG, **config}}
        plain = await registry.put_image("odd", "plain", b"{}", b"x")
        child = {"mediaType": MANIFEST, "size": 1, "digest": plain}
        unknown = {"os": "unknown", "architecture": "unknown"}
        runs = {**child, "platform": {"os": "linux", "architecture": "amd64"}}
        odd: dict[str, dict[str, object]] = {
            "no-layers": {**image, "layers": None},
            "no-subject": {**image, "layers": [layer], "subject": None},
            "no-children": {"mediaType": index, "manifests": None},
            "attested": {"mediaType": index, "manifests": [runs, {**child, "platform": unknown}]},
            "no-platform": {"mediaType": index, "manifests": [{**child, "platform": None}]},
            "a-list": {**image, "config": {"mediaType": CONFIG, **await registry.put_blob("odd", b"[]")}, "layers": []},
        }
        found = {"plain": plain}
        for tag, manifest in odd.items():
            body, kind = json.dumps({"schemaVersion": 2, **manifest}).encode(), str(manifest["mediaType"])
            path = f"/v2/odd/manifests/{tag}"
            async with registry.http.put(path, data=body, headers={"Content-Type": kind}) as answer:
                assert answer.status == HTTPStatus.CREATED, await answer.text()
            found[tag] = digest_of(body)
        return found


class TestVerify:
    def test_what_is_whole_is_said_to_be(self, deployed: Program) -> None:
        status, said = verify(deployed)
        assert status == 0
        assert said.endswith("all content matches its digests\n")

    def test_damaged_layers_are_named_with_every_image_that_needs_them(
        self, lab: Lab, deployed: Program, settings: Settings
    ) -> None:
        layers = [os.urandom(BYTES) for _ in range(3)]
        for number, layer in enumerate(layers):
            push(settings, f"one/{number}", "v1", layer)
            push(settings, f"two/{number}", "v1", layer)
        cut, changed, gone = (file_of(lab, digest_of(layer)) for layer in layers)
        cut.write_bytes(cut.read_bytes()[:7])
        changed.write_bytes(b"x" + changed.read_bytes()[1:])
        gone.unlink()
        status, said = verify(deployed)
        assert status == 1
        told = {line.split()[1]: " ".join(line.split()[2:]) for line in said.splitlines() if line.startswith("blob ")}
        assert told == {
            digest_of(layers[0]): f"has 7 of {BYTES} bytes one/0:v1, two/0:v1",
            digest_of(layers[1]): "has other bytes one/1:v1, two/1:v1",
            digest_of(layers[2]): "is missing one/2:v1, two/2:v1",
        }
        take_away(deployed, said)
        for number, layer in enumerate(layers):
            push(settings, f"one/{number}", "v1", layer)
        assert verify(deployed)[0] == 0

    def test_bytes_that_another_repository_shares_stay_when_a_link_is_broken(
        self, lab: Lab, deployed: Program, settings: Settings
    ) -> None:
        layer = os.urandom(BYTES)
        for repository in ("three", "four"):
            push(settings, repository, "v1", layer)
        link_of(lab, "three/_layers", digest_of(layer)).write_text("sha256:")
        status, said = verify(deployed)
        assert status == 1
        (line,) = [line for line in said.splitlines() if line.startswith("blob ")]
        assert line.split(maxsplit=2)[2] == "has a broken link in repository three  three:v1"
        assert not [word for word in line_after(TAKES_AWAY, said) if "/blobs/" in word]
        take_away(deployed, said)
        assert "is not linked in repository three" in verify(deployed)[1]
        push(settings, "three", "v1", layer)
        assert verify(deployed)[0] == 0

    def test_odd_manifests_are_counted_and_stop_nothing(self, deployed: Program, settings: Settings) -> None:
        digests = asyncio.run(push_odd(settings))
        assert verify(deployed)[0] == 0
        done = deployed.registryctl("images", "--json")
        assert done.returncode == 0, done.stderr
        seen = {image["tags"][0]: image for image in json.loads(done.stdout)["images"] if image["repository"] == "odd"}
        assert seen.keys() == digests.keys()
        assert seen["attested"]["platforms"] == ["linux/amd64"]
        assert seen["no-layers"]["platforms"] == ["linux/amd64"]
        assert seen["no-children"]["platforms"] == []
        done = deployed.registryctl("gc", "--keep", "9", "--yes")
        assert done.returncode == 0, done.stderr
        assert verify(deployed)[0] == 0

    def test_an_empty_blob_is_missed_too(self, lab: Lab, deployed: Program, settings: Settings) -> None:
        push(settings, "empty", "v1", b"")
        file_of(lab, digest_of(b"")).unlink()
        status, said = verify(deployed)
        assert status == 1
        assert f"blob {digest_of(b'')}  is missing  empty:v1" in said
        push(settings, "empty", "v1", b"")
        assert verify(deployed)[0] == 0

    def test_an_output_that_the_registry_does_not_know_is_named(self, lab: Lab, deployed: Program) -> None:
        app = parse_reference(deployed.output("images")["app"])
        shutil.rmtree(link_of(lab, "app/_manifests/revisions", str(app.digest)).parent)
        status, said = verify(deployed)
        assert status == 1
        assert str(app.digest) in said
        done = deployed.run(*line_after(PUSHES_AGAIN, said), "--yes", "--skip-preview", "--non-interactive")
        assert done.returncode == 0, done.stdout + done.stderr
        assert verify(deployed)[0] == 0

    @pytest.mark.parametrize("left", [b"", b'{"schemaVersion": 2', b"{}"])
    def test_a_damaged_manifest_stops_a_collection_until_it_is_mended(
        self, lab: Lab, deployed: Program, settings: Settings, left: bytes
    ) -> None:
        app = parse_reference(deployed.output("images")["app"])
        push(settings, "stray", "old", os.urandom(BYTES))
        push(settings, "stray", "new", b"new")
        file = file_of(lab, str(app.digest))
        file.write_bytes(left)
        status, said = verify(deployed)
        assert status == 1
        assert f"manifest {app.digest} " in said
        assert deployed.registryctl("images").returncode == 0
        refused = deployed.registryctl("gc", "--keep", "1", "--yes")
        assert refused.returncode == 1
        assert len(refused.stderr.splitlines()) == 1
        (line,) = commands_of(refused.stderr)
        named = tried(line, deployed.folder, deployed.stack.workspace.env_vars)
        assert str(app.digest) in named.stdout
        take_away(deployed, named.stdout)
        done = deployed.run(*line_after(PUSHES_AGAIN, said), "--yes", "--skip-preview", "--non-interactive")
        assert done.returncode == 0, done.stdout + done.stderr
        assert verify(deployed)[0] == 0
        assert deployed.registryctl("gc", "--keep", "1", "--yes").returncode == 0
