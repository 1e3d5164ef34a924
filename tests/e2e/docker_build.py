"""`docker build` of today, by BuildKit's own client: what a build of the program's is compared with."""

import subprocess
import tarfile
from contextlib import closing
from io import BytesIO
from pathlib import Path

import docker

from lab.toolchain import tool
from tests.conftest import Lab

BUILD_SECONDS = 120.0


def docker_build(lab: Lab, image: str, context: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Build an image as `docker build` does, by the fixture `buildx`; the caller looks at the status."""
    command = [str(tool("buildx")), "build", "--load", "--provenance=false", "--tag", image, *options, str(context)]
    # As a plugin it gets the daemon's address from the docker command, by itself from the environment.
    return subprocess.run(
        command, env=dict(lab.env), capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )


def files_of(lab: Lab, image: str, folder: str) -> dict[str, tarfile.TarInfo]:
    """What an image has in a folder: path in the folder -> kind, mode, time and so on."""
    return {member.name.partition("/")[2]: member for member in _archive(lab, image, folder).getmembers()}


def content_of(lab: Lab, image: str, file: str) -> str:
    """The text of a file in an image."""
    archive = _archive(lab, image, file)
    content = archive.extractfile(archive.getmembers()[0])
    assert content
    return content.read().decode()


def _archive(lab: Lab, image: str, path: str) -> tarfile.TarFile:
    with closing(docker.DockerClient(base_url=lab.env["DOCKER_HOST"])) as client:
        container = client.containers.create(image, ["none"])
        try:
            return tarfile.open(fileobj=BytesIO(b"".join(container.get_archive(path)[0])))
        finally:
            container.remove()
