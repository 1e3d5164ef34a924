"""What `docker buildx build --push` sends through a tunnel: indexes of two platforms, with attestations of each."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from kube_registry.spec.settings import Settings
from lab.images import BUSYBOX
from lab.toolchain import tool
from lab.versions import OLDEST, chosen
from tests.e2e.conftest import STACK, Lab, Program
from tests.e2e.housekeeping.test_gc import lacking, listed
from tests.e2e.housekeeping.test_verify import verify
from tests.e2e.pulls import pulled
from tests.e2e.tunnel.test_tunnel import running
from tests.fakes.writing import pushing

pytestmark = [
    pytest.mark.lab,
    pytest.mark.usefixtures("buildx"),
    pytest.mark.skipif(chosen().docker == OLDEST.docker, reason="only the containerd store has several platforms"),
]

BUILD_SECONDS = 120.0
PLATFORMS = ["linux/amd64", "linux/arm64"]

SLEEPS = 'FROM scratch\nCOPY . /\nENTRYPOINT ["/busybox", "sleep", "3600"]\n'
"""An image that any platform can build, because nothing runs during the build."""

STATEMENT = json.dumps({"predicateType": "https://spdx.dev/Document", "predicate": {"spdxVersion": "SPDX-2.3"}})
SCANS = f"FROM {BUSYBOX}\nENTRYPOINT echo '{STATEMENT}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\n"
"""A generator of SBOMs; BuildKit's own is on Docker Hub."""


@dataclass(frozen=True)
class Builder:
    """buildx, which pushes through an open tunnel.

    Attributes:
        lab: where the Docker engine is.
        folder: the build context.
        host: the push address.
    """

    lab: Lab
    folder: Path
    host: str

    def buildx(self, *words: str) -> None:
        command = [str(tool("buildx")), *words]
        done = subprocess.run(
            command, env=dict(self.lab.env), capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr

    def build(self, name: str, *options: str, dockerfile: str = SLEEPS) -> str:
        """Build new content, push it with a name, and return its digest."""
        (self.folder / "Dockerfile").write_text(dockerfile)
        (self.folder / "new").write_bytes(os.urandom(1024))
        told = self.folder.with_name("metadata.json")
        context = str(self.folder)
        self.buildx("build", "--push", f"--tag={self.host}/{name}", f"--metadata-file={told}", *options, context)
        return str(json.loads(told.read_text())["containerimage.digest"])

    def attested(self, name: str) -> str:
        """The same for both platforms, with provenance and SBOM."""
        attests = ("--attest=type=provenance,mode=max", f"--attest=type=sbom,generator={self.host}/scanner:1")
        return self.build(name, f"--platform={','.join(PLATFORMS)}", *attests)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context."""
    made = tmp_path_factory.mktemp("buildx") / "context"
    made.mkdir()
    shutil.copy(tool("busybox"), made)
    return made


@contextmanager
def building(lab: Lab, program: Program, folder: Path) -> Iterator[Builder]:
    """A block with an open tunnel; while it is open, nothing can be collected."""
    env = {**lab.env, **program.stack.workspace.env_vars}
    with running(program, env, "tunnel", "--stack", STACK) as opened:
        made = Builder(lab, folder, f"localhost:{opened.push_port}")
        made.build("scanner:1", dockerfile=SCANS)
        yield made
        opened.end()


@pytest.fixture
def builder(lab: Lab, deployed: Program, folder: Path) -> Iterator[Builder]:
    """buildx with an open tunnel."""
    with building(lab, deployed, folder) as made:
        yield made


def children(settings: Settings, repository: str, digest: str) -> dict[str, dict[str, Any]]:
    """The manifests in an index, by digest."""

    async def read() -> dict[str, dict[str, Any]]:
        async with pushing(settings) as registry:
            index = json.loads(await registry.manifest(repository, digest) or b"{}")
            named = [str(each["digest"]) for each in index["manifests"]]
            return {each: json.loads(await registry.manifest(repository, each) or b"{}") for each in named}

    return asyncio.run(read())


def images_in(program: Program, repository: str) -> list[dict[str, Any]]:
    """What `images --json` says of a repository, the newest image first."""
    return [image for image in listed(program).values() if image["repository"] == repository]


def test_an_index_is_one_image_and_attestations_are_no_platforms(
    lab: Lab, deployed: Program, builder: Builder, settings: Settings
) -> None:
    digest = builder.attested("attested:1")
    kinds = [layer["mediaType"] for each in children(settings, "attested", digest).values() for layer in each["layers"]]
    assert kinds.count("application/vnd.in-toto+json") == 2 * len(PLATFORMS)
    (image,) = images_in(deployed, "attested")
    assert (image["digest"], image["platforms"]) == (digest, PLATFORMS)
    assert set(pulled(lab, f"{settings.endpoints.pull_host}/attested:1").values()) == {digest}
    assert verify(deployed)[0] == 0


def test_one_platform_with_an_attestation_is_one_platform(deployed: Program, builder: Builder) -> None:
    digest = builder.build("single:1", "--provenance=true")
    (image,) = images_in(deployed, "single")
    assert (image["digest"], image["platforms"]) == (digest, PLATFORMS[:1])


def test_with_another_tag_or_repository_it_is_whole(lab: Lab, deployed: Program, builder: Builder) -> None:
    digest = builder.attested("first:1")
    first = f"{builder.host}/first:1"
    for name in ("first:stable", "second:1"):
        builder.buildx("imagetools", "create", f"--tag={builder.host}/{name}", first)
    with closing(docker.DockerClient(base_url=lab.env["DOCKER_HOST"])) as client:
        for platform in PLATFORMS:
            client.images.pull(first, platform=platform)
        for repository, tag in (("first", "again"), ("third", "1")):
            client.images.get(first).tag(f"{builder.host}/{repository}", tag)
            said = client.images.push(f"{builder.host}/{repository}", tag)
            assert digest in said, said
    for repository, tags in {"first": {"1", "stable", "again"}, "second": {"1"}, "third": {"1"}}.items():
        (image,) = images_in(deployed, repository)
        assert (image["digest"], image["platforms"], set(image["tags"])) == (digest, PLATFORMS, tags)
    assert verify(deployed)[0] == 0


def test_a_collection_takes_attestations_with_their_image_and_keeps_those_of_others(
    lab: Lab, deployed: Program, folder: Path, settings: Settings
) -> None:
    with building(lab, deployed, folder) as builder:
        old = builder.attested("moving:1")
        going = [old, *children(settings, "moving", old)]
        new = builder.attested("moving:1")
    assert [image["platforms"] for image in images_in(deployed, "moving")] == [PLATFORMS, PLATFORMS]
    done = deployed.registryctl("gc", "--keep", "1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [image["digest"] for image in images_in(deployed, "moving")] == [new]
    assert lacking(settings, "moving", new) == []
    gone = [lacking(settings, "moving", digest) for digest in going]
    assert gone == [[f"manifest {digest} is missing"] for digest in going]
    assert verify(deployed)[0] == 0
