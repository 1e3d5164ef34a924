"""A stand-in for the public image debian:bookworm-slim, from which the NFS server's image is built offline.

It has the packages of that image's Dockerfile, and no sources of packages: `apt-get update` and `apt-get install` then
succeed without a network. It is built from the mirrors of this machine. Only tests of shared volumes need it.
"""

import hashlib
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from lab.commands import run_logged
from lab.debian import MMDEBSTRAP, SUITE, without_documentation
from lab.docker_site import Engine
from lab.errors import LabError
from lab.places import CACHE
from lab.progress import Progress
from lab.toolchain import install_packages, make, tool

NAME: Final = "docker.io/library/debian:bookworm-slim"
"""The name of the public image, so that the same Dockerfile builds with and without the lab."""

PACKAGES: Final = ("nfs-ganesha", "nfs-ganesha-vfs")
"""The packages that the Dockerfile installs."""

BUILD_SECONDS = 600.0
LOAD_SECONDS = 120

_CLEAN = 'cd "$1/etc" && : >apt/sources.list && rm -f apt/sources.list.d/* */*.d/99mmdebstrap hostname resolv.conf'
"""What is left of this machine and of the build."""

_OPTIONS = (
    "--variant=minbase",
    f"--include={','.join(PACKAGES)}",
    '--aptopt=APT::Install-Recommends "false"',
    *without_documentation(),
    f"--customize-hook={_CLEAN}",
)

_CHANGES = ["CMD bash", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def provide_debian(engine: Engine, progress: Progress) -> None:
    """Load the image into an engine, unless it has one of that name; it is built on the first call.

    Raises:
        LabError: the image cannot be built or loaded.
    """
    try:
        with closing(docker.DockerClient(base_url=engine.host, timeout=LOAD_SECONDS)) as client:
            try:
                client.images.get(NAME)
            except ImageNotFound:
                archive = _archive(progress)
                with progress.running("Docker engine", f"loading {NAME}"):
                    repository, _, tag = NAME.rpartition(":")
                    client.api.import_image_from_file(str(archive), repository=repository, tag=tag, changes=_CHANGES)
    except (DockerException, requests.RequestException) as error:
        raise LabError(f"The Docker engine at {engine.host} cannot load {NAME}: {error}.") from error


def _archive(progress: Progress) -> Path:
    key = f"debian-{SUITE}-{hashlib.sha256(repr(_OPTIONS).encode()).hexdigest()[:8]}"
    if not (CACHE / key).is_dir():
        with progress.running(NAME, "building"):
            install_packages([MMDEBSTRAP])
            make(key, _build)
    return CACHE / key / "root.tar"


def _build(_work: Path, result: Path, log: Path) -> None:
    command = [str(tool("mmdebstrap")), *_OPTIONS, SUITE, str(result / "root.tar"), *_mirrors()]
    run_logged(command, log=log, limit=BUILD_SECONDS)


def _mirrors() -> list[str]:
    """Return the lines of a sources.list for the mirrors of the suite that this machine uses; none for the default."""
    question = [
        "apt-get",
        "indextargets",
        "--format",
        "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]
    answer = subprocess.run(question, capture_output=True, text=True, timeout=60, check=False).stdout
    suites = (f" {SUITE} ", f" {SUITE}-updates ", f" {SUITE}-security ")
    return [line for line in answer.splitlines() if any(suite in line for suite in suites)]
