"""The registry's own collection in its pod: it neither begins nor goes on once the lease of who runs it is lost.

The program that the pod would run really runs here, under the pod's shell; only `registry` is one of ours. What passes
between the two is held back as a test wants it, as a network or an API server that freezes does.
"""

import asyncio
import json
import os
import re
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping import sweep as sweeping
from kube_registry.housekeeping.sweep import STOP_SECONDS, sweep
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.lease.errors import LeaseLostError
from kube_registry.lease.lease import Lease
from kube_registry.registry.errors import ExecError
from lab import pki
from tests.fakes.fake_api import FakeApi, FakePod, run_fake_api, settings_for
from tests.fakes.local import until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

REGISTRY = """\
#!/bin/sh
while [ ! -e {folder}/enough ]; do date >>{folder}/swept; sleep 0.1; done
"""
"""A collection that removes something ten times a second until it is told that all is done."""

SLACK_SECONDS = 3.0
"""The shell looks once a second; a busy machine keeps it waiting."""


@dataclass
class Pod:
    """The registry's pod, and the way to it.

    Args:
        folder: where its registry leaves what it does.
        starts: set once its node starts programs.
        delay: seconds for which the next message to a program is held back; later ones wait behind it.
    """

    folder: Path
    starts: asyncio.Event = field(default_factory=asyncio.Event)
    delay: Callable[[], float] = lambda: 0.0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, ws: web.WebSocketResponse, command: list[str]) -> None:
        """Run a program as a node does, which knows no connection that has ended."""
        given: asyncio.Queue[bytes | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._process(ws, command, given))
            async for message in ws:
                given.put_nowait(message.data[1:])
            given.put_nowait(None)
            await running

    async def _process(self, ws: web.WebSocketResponse, command: list[str], given: asyncio.Queue[bytes | None]) -> None:
        await self.starts.wait()
        env = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        process = await asyncio.create_subprocess_exec("busybox", *command, env=env, stdin=PIPE, stdout=PIPE)
        assert process.stdin
        assert process.stdout

        async def feed(stdin: asyncio.StreamWriter) -> None:
            while True:
                data = await given.get()
                await asyncio.sleep(self.delay())
                if data is None:
                    return stdin.close()
                stdin.write(data)

        async def show(stdout: asyncio.StreamReader) -> None:
            async for line in stdout:
                if not ws.closed:
                    await ws.send_bytes(b"\1" + line)

        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(feed(process.stdin))
            await show(process.stdout)
            status = await process.wait()
            feeding.cancel()
        if not ws.closed:
            said = {"status": "Success"} if status == 0 else {"status": "Failure", "message": f"exit code {status}"}
            await ws.send_bytes(b"\3" + json.dumps(said).encode())
            await ws.close()
        self.ended.set()

    @property
    def sweeps(self) -> int:
        """How much it has removed."""
        file = self.folder / "swept"
        return file.stat().st_size if file.exists() else 0


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with run_fake_api() as api:
        api.pods = [FakePod("registry-1", 1)]
        yield api


@pytest.fixture
async def kube(api: FakeApi, tmp_path: Path) -> AsyncIterator[KubeClient]:
    (tmp_path / "pki").mkdir()
    async with open_client(settings_for(api.server, pki.found(tmp_path / "pki"), tmp_path)) as kube:
        yield kube


@pytest.fixture
async def pod(api: FakeApi, tmp_path: Path) -> AsyncIterator[Pod]:
    folder = tmp_path / "pod"
    folder.mkdir()
    registry = folder / "registry"
    registry.write_text(REGISTRY.format(folder=folder))
    registry.chmod(0o755)
    pod = Pod(folder)
    pod.starts.set()
    api.program = pod.run
    yield pod
    (folder / "enough").touch()


async def test_it_goes_on_to_its_end_while_the_lease_is_held(pod: Pod, kube: KubeClient) -> None:
    sweep_task = asyncio.create_task(sweep(kube, Lease(kube.where)))
    await until(lambda: pod.sweeps > 0)
    before, start = pod.sweeps, time.monotonic()
    await until(lambda: time.monotonic() - start > STOP_SECONDS + SLACK_SECONDS)
    assert pod.sweeps > before
    (pod.folder / "enough").touch()
    await sweep_task


async def test_answers_that_come_late_keep_nothing_alive(pod: Pod, kube: KubeClient) -> None:
    lease, held_back = Lease(kube.where), 0.0
    pod.delay = lambda: held_back
    sweep_task = asyncio.create_task(sweep(kube, lease))
    await until(lambda: pod.sweeps > 0)
    held_back = STOP_SECONDS - 2.0  # one comes every 3 seconds, each later after it was sent than the one before
    await until(pod.ended.is_set, seconds=STOP_SECONDS + SLACK_SECONDS)
    lease.lose()
    with pytest.raises(KubeRegistryError):
        await sweep_task


async def test_one_that_a_node_starts_late_removes_nothing(pod: Pod, kube: KubeClient) -> None:
    pod.starts.clear()
    lease = Lease(kube.where)
    sweep_task = asyncio.create_task(sweep(kube, lease))
    start = time.monotonic()
    await until(lambda: time.monotonic() - start > 3)  # what says that the lease is held is on its way
    lease.lose()
    sweep_task.cancel()
    await asyncio.wait([sweep_task])
    pod.starts.set()
    await pod.ended.wait()
    assert pod.sweeps == 0


async def test_it_is_stopped_when_the_lease_is_lost(pod: Pod, kube: KubeClient) -> None:
    lease = Lease(kube.where)
    sweep_task = asyncio.create_task(sweep(kube, lease))
    await until(lambda: pod.sweeps > 0)
    lease.lose()
    with pytest.raises(LeaseLostError):
        await sweep_task
    await pod.ended.wait()


async def test_one_that_has_just_been_started_is_known_to_go_on() -> None:
    """A program has no command line for a moment: one in 50 was taken for ended, and went on unwatched."""
    (goes_on,) = re.findall(r"^goes_on\(\) .*$", sweeping._SWEEP, re.MULTILINE)
    each = "sleep 60 & job=$!; goes_on || exit 1; kill -9 $job; wait $job; ! goes_on || exit 2"
    script = f"{goes_on}\nn=0; while [ $((n += 1)) -le 1000 ]; do {each}; done"
    process = await asyncio.create_subprocess_exec("busybox", "sh", "-c", script)
    assert await process.wait() == 0


async def test_the_lease_is_kept_until_a_collection_that_is_broken_off_has_ended(pod: Pod, kube: KubeClient) -> None:
    sweep_task = asyncio.create_task(sweep(kube, Lease(kube.where)))
    await until(lambda: pod.sweeps > 0)
    pod.delay = lambda: 60.0  # the end of the connection is held back
    sweep_task.cancel()
    await asyncio.wait([sweep_task])
    swept = pod.sweeps
    assert sweep_task.cancelled()
    start = time.monotonic()
    await until(lambda: time.monotonic() - start > 2)
    assert pod.sweeps == swept


async def test_one_that_hangs_is_left_alone(pod: Pod, kube: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 3.0)
    with pytest.raises(ExecError, match="took longer than 3 s"):
        await sweep(kube, Lease(kube.where))
    await pod.ended.wait()
