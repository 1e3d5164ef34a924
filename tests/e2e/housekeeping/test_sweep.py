"""The registry's own collection hangs in its pod, and what lies between it and `registryctl gc` freezes or crawls."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kube_registry.concurrency import poll
from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping.gc import Collected, collect
from kube_registry.housekeeping.gc_plan import Keep, plan_gc
from kube_registry.housekeeping.inventory import take_inventory
from kube_registry.housekeeping.sweep import STOP_SECONDS
from kube_registry.kube.client import open_client
from kube_registry.lease.errors import LeaseLostError
from kube_registry.spec.settings import Settings
from lab.cluster import known as spec_of
from lab.spec import ClusterSpec
from tests.e2e.conftest import Lab, Program
from tests.e2e.housekeeping.test_lease import garbage, is_there
from tests.soak.frozen import frozen_api_server

pytestmark = [pytest.mark.lab, pytest.mark.anyio, pytest.mark.usefixtures("deployed")]

SLACK_SECONDS = 3.0
LONG_SECONDS = 90.0
PIECE_SECONDS = STOP_SECONDS - 0.5
"""How long a piece takes that crawls: longer than an answer counts, shorter than a sign of life was waited for.

Several answers that a busy machine sends as one piece are too old, too.
"""


@dataclass
class Hang:
    """A file that whoever reads it waits for ever: a named pipe among the manifests of a repository.

    Args:
        spec: of the cluster whose volume gets it.
    """

    spec: ClusterSpec

    @property
    def file(self) -> Path:
        """The link of a manifest."""
        (root,) = self.spec.volumes.rglob("docker/registry/v2")
        return root / "repositories" / "hang" / "_manifests" / "revisions" / "sha256" / ("a" * 64) / "link"

    def say(self, words: str) -> None:
        """Lay it where the registry's own collection finds it, once nothing else looks any more."""
        if words.startswith("removing unused blobs"):
            self.file.parent.mkdir(parents=True)
            (self.file.parents[4] / "_layers").mkdir()
            os.mkfifo(self.file, 0o644)

    def process(self) -> int | None:
        """Return the id of the collection's process in the pod; None if it does not run."""
        volumes = {each.stat().st_ino for each in self.spec.volumes.iterdir()}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_one = (folder / "cmdline").read_bytes().startswith(b"registry\0garbage-collect")
                if is_one and (folder / "root/var/lib/registry").stat().st_ino in volumes:
                    return int(folder.name)
        return None

    async def begun(self) -> bool | None:
        """Return whether the collection runs."""
        return self.process() is not None or None

    async def ended(self) -> bool | None:
        """Return whether it does not."""
        return self.process() is None or None

    def remove(self) -> None:
        """Leave nothing behind."""
        with suppress(FileNotFoundError):
            self.file.unlink()
            for folder in (self.file.parents[4] / "_layers", *self.file.parents[:5]):
                folder.rmdir()


@pytest.fixture
def hang(lab: Lab) -> Iterator[Hang]:
    hang = Hang(spec_of(lab.cluster.name))
    yield hang
    hang.remove()


@asynccontextmanager
async def collecting(settings: Settings, hang: Hang) -> AsyncIterator["asyncio.Task[Collected]"]:
    """A collection that hangs in the pod."""
    keep = Keep(newest=1)
    async with open_client(settings) as kube:
        agreed = plan_gc(kube.where, await take_inventory(kube, []), keep)
        task = asyncio.create_task(collect(kube, [], keep, agreed, hang.say))
        try:
            assert await poll(hang.begun, seconds=LONG_SECONDS, pause=0.1)
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_it_is_stopped_while_the_api_server_is_frozen_and_does_not_go_on_when_that_goes_on(
    settings: Settings, deployed: Program, hang: Hang
) -> None:
    old = await garbage(settings)
    async with asyncio.timeout(2 * LONG_SECONDS), collecting(settings, hang) as task:
        with frozen_api_server(hang.spec):
            assert await poll(hang.ended, seconds=STOP_SECONDS + SLACK_SECONDS, pause=0.1)
            with pytest.raises(LeaseLostError):
                await task
        assert not await poll(hang.begun, seconds=SLACK_SECONDS, pause=0.1)
    hang.remove()
    assert not await is_there(settings, old)  # its manifest; the next one frees its room
    done = await asyncio.to_thread(deployed.registryctl, "gc", "--keep", "1", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


async def test_it_is_stopped_although_answers_that_are_too_old_go_on_to_come(
    settings: Settings, hang: Hang, tmp_path: Path
) -> None:
    await garbage(settings)
    async with (
        asyncio.timeout(2 * LONG_SECONDS),
        crawling(hang.spec, settings, tmp_path) as (slow, crawl),
        collecting(slow, hang) as task,
    ):
        crawl.set()
        assert await poll(hang.ended, seconds=STOP_SECONDS + SLACK_SECONDS, pause=0.1)
        with pytest.raises(KubeRegistryError):
            await task


@asynccontextmanager
async def crawling(
    spec: ClusterSpec, settings: Settings, folder: Path
) -> AsyncIterator[tuple[Settings, asyncio.Event]]:
    """A proxy before the API server with a deep buffer: once that is set, it passes on piece by piece what it takes."""
    crawl = asyncio.Event()
    host, _, port = spec.server.removeprefix("https://").partition(":")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, crawls: bool) -> None:
        pieces: asyncio.Queue[bytes] = asyncio.Queue()

        async def deliver() -> None:
            while piece := await pieces.get():
                if crawls and crawl.is_set():
                    await asyncio.sleep(PIECE_SECONDS)
                writer.write(piece)
            writer.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            with suppress(ConnectionError):
                while piece := await reader.read(64 * 1024):
                    pieces.put_nowait(piece)
            pieces.put_nowait(b"")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        with closing(writer), closing(far_writer), suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(pass_on(reader, far_writer, crawls=True))
                group.create_task(pass_on(far_reader, writer, crawls=False))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield through(settings, server.sockets[0].getsockname()[1], host, folder), crawl


def through(settings: Settings, port: int, host: str, folder: Path) -> Settings:
    """The settings with a kubeconfig that leads to a port of loopback, behind which the API server is."""
    config = json.loads(Path(settings.kubeconfig or "").read_text())
    for each in config["clusters"]:
        each["cluster"] |= {"server": f"https://127.0.0.1:{port}", "tls-server-name": host}
    file = folder / "kubeconfig.json"
    file.write_text(json.dumps(config))
    return settings.model_copy(update={"kubeconfig": str(file)})
