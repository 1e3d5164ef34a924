"""The lease: who may enter, who is alive, and that not a byte passes a tunnel whose lease is not held."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.lease import entries as entering
from kube_registry.lease import holders as holding
from kube_registry.lease import lease as leasing
from kube_registry.lease.errors import LeaseHeldError, LeaseLostError, LeaseUnreadableError
from kube_registry.lease.holders import DURATION_SECONDS, Holder, Observer
from kube_registry.lease.lease import LOST_SECONDS, RENEW_SECONDS, lease_held
from kube_registry.tunnel.listener import Tunnel, open_tunnel
from lab import pki
from tests.fakes.fake_api import KUBE_CONTEXT, NAMESPACE, RESET, FakeApi, FakePod, settings_for
from tests.fakes.local import PATIENCE_SECONDS, until
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

MOMENT = DURATION_SECONDS / 10
GC = {"who": "registryctl gc of ada@laptop", "alone": True, "renewed": "2026-01-01T00:00:00.000000Z"}
PUSH = {"who": "pulumi up of ada@laptop", "alone": False, "renewed": "2026-01-01T00:00:00.000000Z"}


def holder(renewed: str, *, alone: bool = False) -> Holder:
    return Holder("pulumi up of ada@laptop", alone, renewed)


class TestObserver:
    def test_one_that_is_seen_first_is_alive_whatever_its_clock_says(self) -> None:
        assert Observer().alive({"a": holder("1970-01-01T00:00:00Z")}, now=1000.0) != {}

    def test_one_that_gives_no_sign_of_life_is_dead_after_a_while(self) -> None:
        observer, holders = Observer(), {"a": holder("then")}
        observer.alive(holders, now=0.0)
        assert observer.alive(holders, now=DURATION_SECONDS - MOMENT) == holders
        assert observer.alive(holders, now=DURATION_SECONDS) == {}

    def test_one_that_gives_signs_of_life_is_not(self) -> None:
        observer = Observer()
        for second in range(0, 200, int(RENEW_SECONDS)):
            holders = {"a": holder(str(second))}
            assert observer.alive(holders, now=float(second)) == holders

    def test_one_that_came_back_is_looked_at_anew(self) -> None:
        observer, holders = Observer(), {"a": holder("then")}
        observer.alive(holders, now=0.0)
        observer.alive({}, now=DURATION_SECONDS)
        assert observer.alive(holders, now=2 * DURATION_SECONDS) == holders


class TestHolder:
    def test_those_that_share_bar_nobody_but_one_that_is_alone(self) -> None:
        shared, alone = holder("now"), holder("now", alone=True)
        assert not shared.excludes(shared)
        assert shared.excludes(alone)
        assert alone.excludes(shared)
        assert alone.excludes(alone)


def test_a_holder_stops_before_anybody_takes_it_for_dead() -> None:
    assert LOST_SECONDS + 2 * RENEW_SECONDS <= DURATION_SECONDS


def held(kube: KubeClient, *, alone: bool = False, say: Callable[[str], None] = print) -> Any:  # noqa: ANN401
    return lease_held(kube, "a test", alone=alone, say=say)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Lease that was made just now is waited for briefly."""
    monkeypatch.setattr(holding, "DURATION_SECONDS", 1.0)


class TestEntries:
    async def test_fields_of_a_newer_version_are_read_and_written_back(self, api: FakeApi, kube: KubeClient) -> None:
        newer = {**PUSH, "version": "9.0", "paths": ["a"]}
        api.hold_lease(newer=newer)
        async with held(kube):
            assert len(api.holders) == 2
            assert api.holders["newer"] == newer
        assert api.holders == {"newer": newer}

    @pytest.mark.parametrize(
        "written",
        [
            "edited",
            '{"a":' * 5_000 + "1" + "}" * 5_000,
            "[]",
            "null",
            '{"a": "b"}',
            '{"a": {}}',
            '{"a": {"who": "x", "alone": true, "renewed": "soon"}}',
            '{"a": {"who": "x", "alone": true, "renewed": "2026-01-01T00:00:00"}}',
        ],
    )
    async def test_a_lease_that_lists_no_holders_is_one_error(
        self, api: FakeApi, kube: KubeClient, written: str
    ) -> None:
        api.hold_lease()
        assert api.lease
        api.lease["metadata"]["annotations"]["kube-registry/holders"] = written
        with pytest.raises(LeaseUnreadableError, match=f"delete lease registry --namespace {NAMESPACE}"):
            async with held(kube):
                pass

    async def test_a_lease_without_annotations_has_no_holders(self, api: FakeApi, kube: KubeClient) -> None:
        api.lease = {"metadata": {"resourceVersion": "7"}}
        async with held(kube, alone=True):
            assert len(api.holders) == 1

    async def test_what_others_have_written_to_the_object_stays(self, api: FakeApi, kube: KubeClient) -> None:
        api.hold_lease()
        assert api.lease
        api.lease["metadata"] |= {"labels": {"team": "a"}, "finalizers": ["a/b"]}
        api.lease["metadata"]["annotations"]["note"] = "c"
        async with held(kube):
            pass
        metadata = api.lease["metadata"]
        assert (metadata["labels"], metadata["finalizers"]) == ({"team": "a"}, ["a/b"])
        assert metadata["annotations"]["note"] == "c"

    @pytest.mark.usefixtures("brief")
    async def test_one_whose_answer_was_lost_does_not_wait_for_itself(self, api: FakeApi, kube: KubeClient) -> None:
        api.lease_answers = iter([409])  # as a request that is sent again after its answer was lost
        async with asyncio.timeout(5), held(kube, alone=True):
            assert len(api.holders) == 1
        assert api.holders == {}

    @pytest.mark.usefixtures("brief")
    @pytest.mark.parametrize("status", [500, 503, RESET])
    async def test_the_first_one_of_all_whose_answer_was_lost_enters(
        self, api: FakeApi, kube: KubeClient, status: int
    ) -> None:
        api.lease_answers = iter([status])  # the object was created all the same
        async with asyncio.timeout(5), held(kube, alone=True):
            assert len(api.holders) == 1
        assert api.holders == {}

    async def test_one_that_gives_up_leaves_no_entry(
        self, api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leasing, "LEASE_SECONDS", 0.1)
        api.hold_lease(gc=GC)
        said = list[str]()
        with pytest.raises(LeaseHeldError):
            async with held(kube, say=said.append):
                pass
        assert api.holders == {"gc": GC}
        assert said == [f"waiting for {GC['who']}, at most 0 s"]

    async def test_one_that_is_cancelled_while_it_enters_leaves_no_entry(self, api: FakeApi, kube: KubeClient) -> None:
        api.hold_lease(gc=GC)

        async def enter() -> None:
            async with held(kube):
                pass

        entering = asyncio.create_task(enter())
        await until(lambda: api.lease_looks > 0)
        api.hold_lease()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert api.holders == {}


class TestSlow:
    """Every request for the lease takes as long as a slow API server takes, which works all the same."""

    @pytest.fixture(autouse=True)
    def slow(self, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leasing, "RENEW_SECONDS", 1.0)
        monkeypatch.setattr(leasing, "LOST_SECONDS", 8.0)  # a renewal takes three of them, a busy machine more
        api.lease_seconds = 0.7

    async def test_it_is_renewed_by_one_request_each(self, api: FakeApi, kube: KubeClient) -> None:
        async with held(kube) as lease:
            looks = api.lease_looks
            await renewals(api, 3)
            assert lease.held()
            assert api.lease_looks == looks

    async def test_it_is_renewed_although_another_writes_first_each_time(self, api: FakeApi, kube: KubeClient) -> None:
        async with held(kube) as lease:
            api.lease_conflicts = cycle([True, False])
            await renewals(api, 3)
            assert lease.held()


async def renewals(api: FakeApi, times: int) -> None:
    """Return once the only holder has renewed its entry that often."""
    for _ in range(times):
        before = list(api.holders.values())
        await until(lambda before=before: list(api.holders.values()) != before, seconds=10)  # type: ignore[misc]


class TestConflicts:
    async def test_an_api_server_that_reports_nothing_else_is_an_error_with_its_words(
        self, api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(entering, "CONFLICT_SECONDS", 0.5)
        api.hold_lease()
        api.lease_conflicts = cycle([True])
        with pytest.raises(RefusedError, match="the object has been modified") as refused:
            async with asyncio.timeout(20), held(kube):
                pass
        assert refused.value.status == HTTPStatus.CONFLICT
        assert api.holders == {}

    async def test_some_in_a_row_hold_nobody_up(self, api: FakeApi, kube: KubeClient) -> None:
        api.hold_lease()
        api.lease_conflicts = iter([True] * 5)
        async with asyncio.timeout(20), held(kube):
            assert len(api.holders) == 1
        assert api.holders == {}


class TestDeleted:
    """The Lease object is deleted by hand while a push holds it."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leasing, "RENEW_SECONDS", 1.0)
        monkeypatch.setattr(leasing, "LOST_SECONDS", 2.0)
        monkeypatch.setattr(holding, "DURATION_SECONDS", 4.0)

    async def test_a_collection_begins_only_when_the_push_is_over(self, api: FakeApi, kube: KubeClient) -> None:
        said = list[str]()
        async with held(kube) as push:
            api.lease = None
            async with held(kube, alone=True, say=said.append):
                assert not push.held()
                assert [entry["alone"] for entry in api.holders.values()] == [True]
        assert len(said) == 1

    async def test_so_it_does_when_another_push_has_made_it_meanwhile(self, api: FakeApi, kube: KubeClient) -> None:
        async with held(kube) as push:
            api.lease = None
            async with held(kube):
                pass
            async with held(kube, alone=True):
                assert not push.held()

    async def test_no_push_enters_while_a_collection_waits(self, kube: KubeClient) -> None:
        waits, said = asyncio.Event(), list[str]()

        async def collect() -> None:
            async with held(kube, alone=True, say=lambda _: waits.set()):
                pass

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            collecting = group.create_task(collect())
            await waits.wait()
            async with held(kube, say=said.append):
                assert collecting.done()
        assert len(said) == 1

    async def test_a_lease_that_is_old_holds_up_no_collection(self, api: FakeApi, kube: KubeClient) -> None:
        said = list[str]()
        api.hold_lease()
        async with held(kube, alone=True, say=said.append):
            assert said == []


class TestDeadBesideLiving:
    async def test_one_that_lives_removes_one_that_is_dead_and_goes_on(
        self, api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(holding, "DURATION_SECONDS", 0.5)
        monkeypatch.setattr(leasing, "RENEW_SECONDS", 0.1)
        api.hold_lease(dead=PUSH)
        async with held(kube) as lease:
            await until(lambda: "dead" not in api.holders)
            (mine,) = api.holders.values()
            await until(lambda: [mine] != list(api.holders.values()))
            assert lease.held()

    async def test_one_that_was_removed_stops(
        self, api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leasing, "RENEW_SECONDS", 0.05)
        stopped = asyncio.Event()
        async with held(kube) as lease:
            lease.when_lost(stopped.set)
            api.hold_lease(gc=GC)
            async with asyncio.timeout(5):
                await stopped.wait()
            with pytest.raises(LeaseLostError):
                lease.check()
        assert api.holders == {"gc": GC}


@dataclass
class Clock:
    """The machine's clocks, and how long it has slept, which only one of them counts (Linux; on macOS another)."""

    slept: float = 0.0

    def __post_init__(self) -> None:
        self._real = time.clock_gettime

    def gettime(self, clock: int) -> float:
        counts_sleep = clock == getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return self._real(clock) + (self.slept if counts_sleep else 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "clock_gettime", clock.gettime)
    return clock


@dataclass
class Registry:
    """What a registry has got of uploads; to anything else it answers that it is one."""

    port: int = 0
    got: bytes = b""
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"PUT"):
                    while data := await reader.read(64 * 1024):
                        self.got += data
                    return
                if head.startswith(b"GET /slow"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789")
                    await self.answers.wait()
                    writer.write(b"0123456789")
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
async def registry(api: FakeApi) -> AsyncIterator[Registry]:
    registry = Registry()
    async with await asyncio.start_server(registry.serve, "127.0.0.1", 0) as server:
        registry.port = server.sockets[0].getsockname()[1]
        api.pods = [FakePod("registry-1", registry.port)]
        yield registry


@asynccontextmanager
async def asking(port: int, line: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(f"{line} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 1000\r\n\r\n".encode())
        yield reader, writer


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What still came of a connection before it was reset."""
    came = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with suppress(ConnectionResetError):
            while data := await reader.read(64 * 1024):
                came += data
    return came


@pytest.mark.usefixtures("no_pauses", "registry")
class TestAsleep:
    """The machine sleeps for longer than the lease, so that another may hold it when it wakes."""

    @pytest.fixture
    async def tunnel(self, kube: KubeClient) -> AsyncIterator[Tunnel]:
        async with held(kube) as lease, open_tunnel(kube, 0, lease, seconds=PATIENCE_SECONDS) as tunnel:
            yield tunnel

    async def test_not_a_byte_of_a_push_passes_after_it_wakes(
        self, registry: Registry, clock: Clock, tunnel: Tunnel
    ) -> None:
        async with asking(tunnel.port, "PUT /v2/app/blobs/uploads/1") as (reader, writer):
            writer.write(b"a" * 500)
            await until(lambda: len(registry.got) == 500)
            clock.slept = 40.0
            writer.write(b"b" * 500)
            assert await ended(reader) == b""
        assert registry.got == b"a" * 500
        assert isinstance(tunnel.broken, LeaseLostError)

    async def test_nor_one_of_an_answer(self, registry: Registry, clock: Clock, tunnel: Tunnel) -> None:
        async with asking(tunnel.port, "GET /slow") as (reader, _):
            await reader.readuntil(b"0123456789")
            clock.slept = 40.0
            registry.answers.set()
            assert await ended(reader) == b""

    async def test_nor_one_of_a_new_connection(self, api: FakeApi, clock: Clock, tunnel: Tunnel) -> None:
        clock.slept, before = 40.0, len(api.upgrades)
        async with asking(tunnel.port, "PUT /v2/app/manifests/1") as (reader, _):
            assert await ended(reader) == b""
        assert len(api.upgrades) == before

    async def test_a_nap_shorter_than_that_does_no_harm(self, registry: Registry, clock: Clock, tunnel: Tunnel) -> None:
        async with asking(tunnel.port, "PUT /v2/app/blobs/uploads/1") as (_, writer):
            clock.slept = LOST_SECONDS - 2 * RENEW_SECONDS
            writer.write(b"a" * 500)
            await until(lambda: len(registry.got) == 500)

    async def test_it_is_known_to_be_over_before_anything_is_sent(self, clock: Clock, tunnel: Tunnel) -> None:
        assert tunnel.is_open()
        clock.slept = 40.0
        assert not tunnel.is_open()
        assert isinstance(tunnel.broken, LeaseLostError)

    async def test_it_is_given_back_all_the_same(self, api: FakeApi, kube: KubeClient, clock: Clock) -> None:
        async with held(kube):
            clock.slept = 40.0
        assert api.holders == {}


RUN_TUNNEL = """
import sys
from kube_registry.lease import lease
from kube_registry.cli.app import main
lease.LOST_SECONDS, lease.RENEW_SECONDS = 5.0, 0.2
main()
"""


@asynccontextmanager
async def registryctl_tunnel(folder: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """`registryctl tunnel`, whose lease lasts five seconds: longer than a busy machine keeps it waiting."""
    words = ("tunnel", "--kube-context", KUBE_CONTEXT, "--push-port", str(port), "--namespace", NAMESPACE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN_TUNNEL, *words),
        env={**os.environ, "KUBECONFIG": str(folder / "kubeconfig")},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def is_open(process: asyncio.subprocess.Process) -> None:
    assert process.stdout
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stdout:
            if line.startswith(b"open: "):
                return
    pytest.fail("it did not open")


class TestVerb:
    async def test_it_listens_only_once_it_holds_the_lease(
        self, api: FakeApi, registry: Registry, authority: pki.Authority, tmp_path: Path
    ) -> None:
        settings_for(api.server, authority, tmp_path)
        port = free_port()
        api.hold_lease(gc=GC)
        async with registryctl_tunnel(tmp_path, port) as process:
            await until(lambda: api.lease_looks > 1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            api.hold_lease()
            await is_open(process)
            assert [entry["alone"] for entry in api.holders.values()] == [False]
            async with asking(port, "PUT /v2/app/blobs/uploads/1") as (_, writer):
                writer.write(b"a" * 500)
                await until(lambda: len(registry.got) == 500)

    async def test_one_that_was_stopped_for_longer_than_the_lease_passes_not_a_byte_more(
        self, api: FakeApi, registry: Registry, authority: pki.Authority, tmp_path: Path
    ) -> None:
        settings_for(api.server, authority, tmp_path)
        port = free_port()
        async with AsyncExitStack() as opened:
            process = await opened.enter_async_context(registryctl_tunnel(tmp_path, port))
            await is_open(process)
            reader, writer = await opened.enter_async_context(asking(port, "PUT /v2/app/blobs/uploads/1"))
            writer.write(b"a" * 500)
            await until(lambda: len(registry.got) == 500)
            process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            writer.write(b"b" * 500)
            await until(lambda: time.monotonic() - stopped > 5.5)
            process.send_signal(signal.SIGCONT)
            assert await ended(reader) == b""
            assert await process.wait() == 1
        assert registry.got == b"a" * 500
