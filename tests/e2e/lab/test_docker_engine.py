import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from lab import docker_engine, images, processes
from lab.docker_provider.build import build_and_push
from lab.docker_provider.daemon import Daemon
from lab.docker_provider.errors import ProviderError
from lab.docker_provider.inputs import Image, check
from lab.docker_site import Site
from lab.errors import LabError
from lab.parts import REGISTRY
from lab.progress import Progress
from lab.toolchain import provide
from lab.waiting import wait_for

pytestmark = pytest.mark.lab

QUIET = Progress(Console(quiet=True))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An engine's place of its own, so that one that was up before stays up."""
    provide(QUIET, [REGISTRY])  # it is among the images that an engine is given
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(docker_engine, "USUAL_HOST", "unix:///nowhere/either.sock")
    folder = Path(tempfile.mkdtemp(prefix="docker-", dir="/run"))
    made = Site(folder / "state", folder / "run", bridge="lab-docker-test", address="10.119.0.1/24")
    yield made
    docker_engine.down(QUIET, made)
    shutil.rmtree(folder)


def build(site: Site, folder: Path, command: str) -> str:
    """Build an image that runs a command of busybox, and return its id."""
    (folder / "Dockerfile").write_text(f"FROM {images.BUSYBOX}\nRUN {command}\n")
    inputs = check({"imageName": "test:1", "skipPush": True, "build": {"context": str(folder)}}, print)
    return build_and_push(Daemon(site.engine.host), Image.parse(inputs), print, push=False)["repoDigest"]


def first_process(site: Site) -> processes.Process:
    process = processes.recorded(site.record)
    assert process
    return process


def runs(command: str) -> bool:
    """Whether a process with this command line is there, in a container too."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if file.read_bytes() == wanted:
                return True
    return False


def traces(site: Site) -> list[str]:
    """What there is of an engine in processes, mounts, interfaces, control groups and files, but for its log."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(site.run.parent) in line]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{site.group}")]
    running = [f"process {process.pid}" for process in processes._marked(site.mark)]
    files = [str(path) for path in (site.interface, site.data, site.run, site.record) if path.exists()]
    return [*mounts, *groups, *running, *files]


def test_comes_up_with_busybox_builds_and_leaves_no_trace(site: Site, tmp_path: Path) -> None:
    engine = docker_engine.up(QUIET, site)
    assert engine == site.engine
    started = first_process(site)
    assert docker_engine.up(QUIET, site) == engine
    assert first_process(site) == started
    assert build(site, tmp_path, "ls -l /bin/busybox").startswith("sha256:")
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if str(site.run.parent) in line]
    docker_engine.down(QUIET, site)
    assert not traces(site)
    docker_engine.down(QUIET, site)


def test_comes_up_again_after_everything_was_killed_in_the_middle_of_a_build(site: Site, tmp_path: Path) -> None:
    docker_engine.up(QUIET, site)

    def broken_build() -> None:
        with suppress(ProviderError):
            build(site, tmp_path, "sleep 86371")

    building = threading.Thread(target=broken_build)
    building.start()
    wait_for(lambda: runs("sleep 86371"), "the build to run", log=site.log, seconds=30)
    killed = first_process(site)
    os.kill(killed.pid, signal.SIGKILL)
    building.join(30)
    wait_for(lambda: not killed.alive, "the engine to die", log=site.log, seconds=30)
    assert not runs("sleep 86371")

    docker_engine.up(QUIET, site)
    assert build(site, tmp_path, "true")
    docker_engine.down(QUIET, site)
    assert not traces(site)


def test_goes_down_after_everything_was_killed(site: Site) -> None:
    docker_engine.up(QUIET, site)
    os.kill(first_process(site).pid, signal.SIGKILL)
    docker_engine.down(QUIET, site)
    assert not traces(site)


def test_takes_the_engine_that_runs_and_leaves_it_running(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = docker_engine.start(QUIET, site)
    monkeypatch.setenv("DOCKER_HOST", theirs.host)
    ours = Site(site.state.with_name("ours"), site.run.with_name("ours"), bridge="lab-docker-none")
    assert docker_engine.up(QUIET, ours) == theirs
    docker_engine.down(QUIET, ours)
    assert first_process(site).alive
    assert not traces(ours)


def test_an_engine_that_does_not_start_says_why_and_names_its_log(site: Site) -> None:
    site.state.mkdir()
    site.data.write_text("in the way")
    with pytest.raises(LabError, match=str(site.log)) as failed:
        docker_engine.up(QUIET, site)
    assert "points to a file" in str(failed.value)
