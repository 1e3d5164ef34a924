"""What an open tunnel counts, and which connections it cuts because they would hang for ever."""

import asyncio
from dataclasses import replace
from itertools import cycle

import pytest

from kube_registry.kube import translate
from kube_registry.kube.errors import UnreachableError
from kube_registry.tunnel import watch
from kube_registry.tunnel.errors import PodGoneError
from kube_registry.tunnel.listener import Tunnel
from kube_registry.tunnel.watch import STRIKES
from tests.fakes.fake_api import FakeApi, FakePod, Refusal
from tests.fakes.local import asked, connected, head, says_where, send, until
from tests.fakes.target import Target, answer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30), pytest.mark.usefixtures("no_pauses")]


class TestReconnects:
    async def test_a_pod_in_place_of_another_counts(self, api: FakeApi, tunnel: Tunnel, target: Target) -> None:
        await asked(tunnel, "give 5")
        assert tunnel.reconnects == 0
        api.pods = [FakePod("registry-2", target.port)]
        await asked(tunnel, "give 5")
        await asked(tunnel, "give 5")
        assert tunnel.reconnects == 1

    async def test_a_connection_that_was_refused_first_counts_once(self, api: FakeApi, tunnel: Tunnel) -> None:
        api.refusals = iter([Refusal(500)] * 3)
        await asked(tunnel, "give 5")
        assert tunnel.reconnects == 1

    async def test_bytes_of_ended_connections_stay_counted(self, tunnel: Tunnel) -> None:
        before = replace(tunnel.traffic)
        data = bytes(100_000)
        async with connected(tunnel, "hold x") as (reader, writer):
            await asked(tunnel, f"free x {len(data)}")
            await send(writer, data)
            assert await reader.read() == answer(data)
        await until(lambda: not tunnel.connections)
        assert tunnel.traffic.sent - before.sent == sum(
            map(len, (data, head(tunnel, "hold x"), head(tunnel, f"free x {len(data)}")))
        )
        assert tunnel.traffic.received - before.received == len(answer(data)) + len("ok\n")


class TestWatch:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch, "WATCH_SECONDS", 0.05)

    async def test_a_connection_whose_pod_is_gone_is_cut_after_so_many_looks(
        self, api: FakeApi, tunnel: Tunnel, target: Target
    ) -> None:
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            await self.alone(tunnel)
            api.pods = [FakePod("registry-2", target.port)]
            looks = api.looks
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert api.looks - looks == STRIKES
        assert isinstance(tunnel.trouble, PodGoneError)
        assert tunnel.trouble.pod == "registry-1"
        says_where(tunnel.trouble, tunnel)
        assert await asked(tunnel, "give 5") == b"10000"

    async def test_a_connection_whose_api_server_is_silent_is_cut_after_so_many_looks(
        self, api: FakeApi, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(translate, "REQUEST_SECONDS", 0.3)
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            await self.alone(tunnel)
            api.deaf = True
            looks = api.looks
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert api.looks - looks == STRIKES
        assert isinstance(tunnel.trouble, UnreachableError)

    async def test_a_connection_whose_node_is_lost_is_cut(self, api: FakeApi, tunnel: Tunnel) -> None:
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            api.pods = [replace(pod, ready=False) for pod in api.pods]
            with pytest.raises(ConnectionResetError):
                await reader.read()
        assert isinstance(tunnel.trouble, PodGoneError)

    async def test_a_pod_that_is_too_busy_for_its_probe_is_no_reason(self, api: FakeApi, tunnel: Tunnel) -> None:
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            api.pods = [replace(pod, ready=False, containers_ready=False) for pod in api.pods]
            await self.looks(api, 3 * STRIKES)
            writer.write(b"after\n")
            assert await reader.readline() == b"after\n"

    @pytest.mark.parametrize("status", [403, 429, 500])
    async def test_an_api_server_that_refuses_is_no_reason(self, api: FakeApi, tunnel: Tunnel, status: int) -> None:
        await self.outlives_looks(api, tunnel, Refusal(status, "not now"))

    async def test_a_stalled_connection_whose_pod_is_well_is_left_alone(self, api: FakeApi, tunnel: Tunnel) -> None:
        await self.outlives_looks(api, tunnel)

    async def test_another_pod_beside_its_own_is_no_reason(self, api: FakeApi, tunnel: Tunnel, target: Target) -> None:
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            api.pods = [FakePod("registry-0", target.port), *api.pods]
            await self.looks(api, 3 * STRIKES)
            writer.write(b"after\n")
            assert await reader.readline() == b"after\n"

    async def test_strikes_must_follow_each_other(self, api: FakeApi, tunnel: Tunnel, target: Target) -> None:
        there, gone = api.pods, [FakePod("registry-2", target.port)]
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            for _ in range(2 * STRIKES):
                for pods, times in ((gone, STRIKES - 1), (there, 1)):
                    api.pods = pods
                    await self.looks(api, times)
            writer.write(b"after\n")
            assert await reader.readline() == b"after\n"

    async def test_a_connection_that_carries_is_not_looked_after(
        self, api: FakeApi, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watch, "WATCH_SECONDS", 0.3)
        async with connected(tunnel, "echo") as (reader, writer):
            await self.alone(tunnel)
            looks, until_then = api.looks, asyncio.get_running_loop().time() + 3 * watch.WATCH_SECONDS
            while asyncio.get_running_loop().time() < until_then:
                writer.write(b"more\n")
                await reader.readline()
            assert api.looks == looks

    async def outlives_looks(self, api: FakeApi, tunnel: Tunnel, *refusals: Refusal) -> None:
        async with connected(tunnel, "hold x") as (reader, writer):
            await self.alone(tunnel)
            api.list_refusals = cycle(refusals)
            await self.looks(api, 3 * STRIKES)
            api.list_refusals = iter([])
            assert await asked(tunnel, "free x 5") == b"ok\n"
            writer.write(b"after")
            assert await reader.read() == answer(b"after")

    async def alone(self, tunnel: Tunnel) -> None:
        """The connection that proved the registry is gone, and the one that there is now carries."""
        await until(lambda: len(tunnel.connections) == 1 and tunnel.connections[0].traffic.sent > 0)

    async def looks(self, api: FakeApi, times: int) -> None:
        enough = api.looks + times
        await until(lambda: api.looks >= enough)
