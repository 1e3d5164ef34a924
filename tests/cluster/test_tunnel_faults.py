"""What a tunnel makes of a far end that does wrong: one error that says so, a reset, and never a hang."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import cycle, repeat
from pathlib import Path

import pytest
from tenacity import wait_none

from cluster import dial as dialling
from cluster import forward as forwarding
from cluster import kube as kube_client
from cluster import tunnel as tunnelling
from cluster.kube import KubeClient, open_client
from cluster.tunnel import STRIKES, Tunnel, open_tunnel
from lab import pki
from stack.errors import (
    CertificateError,
    CredentialsError,
    KubeRegistryError,
    PodGoneError,
    PushPortBusyError,
    TunnelError,
    TunnelForbiddenError,
    TunnelProtocolError,
    TunnelTimeoutError,
    UnreachableError,
)
from stack.names import WRITE_PORT
from tests.cluster import fake_node
from tests.cluster.fake_api import FakeApi, FakePod, Refusal, settings_for
from tests.cluster.fake_node import DATA, ERROR, Node, closes, sends
from tests.cluster.local import PATIENCE_SECONDS, asked, connected, send, settled, until
from tests.cluster.target import Target, answer, given

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

PORT = WRITE_PORT.to_bytes(2, "little")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_BACK_OFF", wait_none())
    for module in (dialling, tunnelling):
        monkeypatch.setattr(module, "_PAUSE", 0.01)


@pytest.fixture
async def tunnel(kube: KubeClient) -> AsyncIterator[Tunnel]:
    async with open_tunnel(kube, 0, seconds=PATIENCE_SECONDS) as tunnel:
        yield tunnel


async def reset(tunnel: Tunnel) -> None:
    """Open a connection, which is reset, not ended."""
    async with connected(tunnel, "echo") as (reader, _), asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(ConnectionResetError):
            await reader.read()


def says_where(error: KubeRegistryError | None, tunnel: Tunnel) -> str:
    """The words of an error of this tunnel, whose fields and words both say where."""
    assert isinstance(error, TunnelError)
    assert (error.where, error.push_port) == (tunnel.kube.where, tunnel.port)
    where = error.where
    for word in (where.cluster, where.kube_context, where.namespace, f"port {tunnel.port} "):
        assert word in str(error)
    return str(error)


class TestNode:
    @pytest.mark.parametrize(
        ("node", "kind", "words"),
        [
            (sends(DATA, greeting=False), TunnelProtocolError, "00 in place of port 5000 on channel 0"),
            (sends(DATA + PORT[:1], greeting=False), TunnelProtocolError, "0088 in place of port 5000 on channel 0"),
            (sends(DATA + b"\x50\x00", greeting=False), TunnelProtocolError, "005000 in place of port 5000"),
            (
                sends(DATA + PORT, DATA + b"data", greeting=False),
                TunnelProtocolError,
                "in place of port 5000 on channel 1",
            ),
            (sends(ERROR + PORT, DATA + PORT, greeting=False), TunnelProtocolError, "018813 in place of port 5000"),
            (sends(b""), TunnelProtocolError, "an empty message"),
            (sends(b"\x02data"), TunnelProtocolError, "a message on channel 2, which was not asked for"),
            (sends("text"), TunnelProtocolError, "a text message"),
            (sends(DATA + bytes(300 * 1024)), TunnelProtocolError, "exceeds limit"),
            (
                sends(ERROR + b"error forwarding port 5000\nto pod registry-1"),
                TunnelError,
                "error forwarding port 5000 to",
            ),
            (closes(1000, greeting=False), TunnelError, "the node closed before it said which port it forwards"),
            (closes(1011, "oops"), TunnelError, "closed with code 1011: oops"),
            (fake_node.ends_without_close, TunnelError, "the connection broke off"),
            (fake_node.resets, TunnelError, "the connection broke off"),
        ],
    )
    async def test_what_breaks_a_connection_is_told_and_the_program_sees_a_reset(
        self, api: FakeApi, tunnel: Tunnel, node: Node, kind: type[TunnelError], words: str
    ) -> None:
        api.node = node
        await reset(tunnel)
        assert type(tunnel.trouble) is kind
        assert words in says_where(tunnel.trouble, tunnel)

    @pytest.mark.parametrize("subprotocol", [None, "v5.channel.k8s.io", "portforward.k8s.io"])
    async def test_another_subprotocol_is_not_taken(
        self, api: FakeApi, tunnel: Tunnel, subprotocol: str | None
    ) -> None:
        api.subprotocol = subprotocol
        await reset(tunnel)
        assert type(tunnel.trouble) is TunnelProtocolError
        assert "in place of v4.channel.k8s.io" in says_where(tunnel.trouble, tunnel)

    async def test_a_pod_that_does_not_listen_is_in_the_nodes_words(self, api: FakeApi, tunnel: Tunnel) -> None:
        api.pods = [replace(api.pods[0], target=unused_port())]
        await reset(tunnel)
        assert type(tunnel.trouble) is TunnelError
        words = says_where(tunnel.trouble, tunnel)
        assert "pod registry-1: error forwarding port 5000 to pod registry-1, uid : failed to dial" in words

    async def test_a_node_that_breaks_off_when_the_pod_is_gone_is_a_pod_that_is_gone(
        self, api: FakeApi, tunnel: Tunnel
    ) -> None:
        async def node(forward: fake_node.Forward) -> None:
            await forward.greet()
            api.pods = [replace(api.pods[0], leaving=True)]
            fake_node.reset(forward)

        api.node = node
        await reset(tunnel)
        assert isinstance(tunnel.trouble, PodGoneError)
        assert tunnel.trouble.pod == "registry-1"
        assert "its pod is on its way out" in says_where(tunnel.trouble, tunnel)

    async def test_the_nodes_words_outlive_an_api_server_that_cannot_be_asked(
        self, api: FakeApi, tunnel: Tunnel
    ) -> None:
        async def node(forward: fake_node.Forward) -> None:
            api.list_refusals = repeat(Refusal(500, "etcd is not there"))
            await sends(ERROR + b"no such process")(forward)

        api.node = node
        await reset(tunnel)
        assert "no such process" in says_where(tunnel.trouble, tunnel)

    async def test_one_bad_connection_leaves_the_others_alone(self, api: FakeApi, tunnel: Tunnel) -> None:
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            assert await reader.readline() == b"before\n"
            api.node = sends("text")
            await reset(tunnel)
            writer.write(b"after\n")
            assert await reader.readline() == b"after\n"

    async def test_what_went_wrong_is_in_the_log(
        self, api: FakeApi, tunnel: Tunnel, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "kube_registry.tunnel")
        api.node = sends(ERROR + b"connection refused")
        await reset(tunnel)
        ours = [record.getMessage() for record in caplog.records if record.name == "kube_registry.tunnel"]
        assert ours == [str(tunnel.trouble)]


class TestLocalProgram:
    async def test_one_that_ended_its_side_before_a_silent_pod_is_given_up_after_a_while(
        self, api: FakeApi, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forwarding, "LINGER_SECONDS", 0.05)
        api.node = sends()
        async with connected(tunnel, "") as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
            writer.write_eof()
            assert await reader.read() == b""

    async def test_one_that_ended_its_side_is_not_given_up_while_it_is_slow_to_take_the_answer(
        self, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forwarding, "LINGER_SECONDS", 0.05)
        size = 20_000_000
        async with connected(tunnel, f"give {size}") as (reader, writer):
            writer.write_eof()
            assert await settled(lambda: tunnel.traffic.received, seconds=6 * forwarding.LINGER_SECONDS) < size
            assert await reader.read() == given(size)

    async def test_one_that_goes_away_leaves_nothing_behind(
        self, api: FakeApi, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forwarding, "LINGER_SECONDS", 0.05)
        async with connected(tunnel, "echo") as (_, writer):
            await until(lambda: tunnel.traffic.sent > 0)
            writer.transport.abort()
        await until(lambda: not tunnel._links)
        assert tunnel.trouble is None
        assert await asked(tunnel, "give 5") == b"10000"
        assert api.upgrades


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
        await until(lambda: not tunnel._links)
        assert tunnel.traffic.sent - before.sent == len(data) + len(f"hold x\nfree x {len(data)}\n")
        assert tunnel.traffic.received - before.received == len(answer(data)) + len("ok\n")


class TestWatch:
    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tunnelling, "WATCH_SECONDS", 0.05)

    async def test_a_connection_whose_pod_is_gone_is_cut_after_so_many_looks(
        self, api: FakeApi, tunnel: Tunnel, target: Target
    ) -> None:
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
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
        monkeypatch.setattr(kube_client, "REQUEST_SECONDS", 0.3)
        async with connected(tunnel, "echo") as (reader, writer):
            writer.write(b"before\n")
            await reader.readline()
            api.deaf = True
            looks = api.looks
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert api.looks - looks == STRIKES
        assert isinstance(tunnel.trouble, UnreachableError)

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
        monkeypatch.setattr(tunnelling, "WATCH_SECONDS", 0.3)
        async with connected(tunnel, "echo") as (reader, writer):
            await self.alone(tunnel)
            looks, until_then = api.looks, asyncio.get_running_loop().time() + 3 * tunnelling.WATCH_SECONDS
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
        await until(lambda: len(tunnel._links) == 1 and tunnel._links[0].traffic.sent > 0)

    async def looks(self, api: FakeApi, times: int) -> None:
        enough = api.looks + times
        await until(lambda: api.looks >= enough)


class TestOpening:
    async def test_it_listens_on_127_0_0_1_and_nowhere_else(self, tunnel: Tunnel) -> None:
        assert tunnel.address == f"127.0.0.1:{tunnel.port}"
        with socket.socket() as other:
            other.bind(("127.0.0.2", tunnel.port))
        with socket.socket(socket.AF_INET6) as other:
            other.bind(("::1", tunnel.port))

    async def test_a_busy_port_is_named_at_once(self, kube: KubeClient, api: FakeApi) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            with pytest.raises(PushPortBusyError) as raised:
                async with open_tunnel(kube, port, seconds=PATIENCE_SECONDS):
                    pass
        error = raised.value
        assert (error.where, error.push_port) == (kube.where, port)
        assert f"cannot listen on port {port} of this machine: Address already in use" in str(error)
        assert (api.looks, api.upgrades) == (0, [])

    async def test_a_port_is_free_again_at_once(self, kube: KubeClient) -> None:
        port = unused_port()
        for _ in range(2):
            async with (
                open_tunnel(kube, port, seconds=PATIENCE_SECONDS) as tunnel,
                connected(tunnel, "echo") as (_, writer),
            ):
                writer.write(b"open\n")

    async def test_it_is_open_only_when_the_registry_has_answered(self, api: FakeApi, kube: KubeClient) -> None:
        api.node = sends(DATA + b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        opening = asyncio.create_task(self.opened(kube, PATIENCE_SECONDS))
        await until(lambda: len(api.upgrades) > 3)
        assert not opening.done()
        api.node = fake_node.well
        assert await opening

    @pytest.mark.parametrize(
        "said", [b"SSH-2.0-x\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200"]
    )
    async def test_a_far_end_that_is_no_registry_fails_in_a_sentence(
        self, api: FakeApi, kube: KubeClient, said: bytes
    ) -> None:
        api.node = sends(DATA + said)
        error = await self.failure(kube, 0.2)
        assert isinstance(error, TunnelTimeoutError)
        assert "the registry does not answer GET /v2/ with 200" in str(error)

    async def test_a_node_that_says_nothing_is_waited_for_no_longer_than_that(
        self, api: FakeApi, kube: KubeClient
    ) -> None:
        api.node = fake_node.silent
        started = asyncio.get_running_loop().time()
        assert isinstance(await self.failure(kube, 0.2), TunnelTimeoutError)
        assert asyncio.get_running_loop().time() - started < 2

    async def test_the_last_real_cause_is_told(self, api: FakeApi, kube: KubeClient) -> None:
        api.node = sends(ERROR + b"error forwarding port 5000 to pod registry-1")
        error = await self.failure(kube, 0.5)
        assert type(error) is TunnelError
        assert "pod registry-1: error forwarding port 5000" in str(error)

    async def test_no_pod_is_said_too(self, api: FakeApi, kube: KubeClient) -> None:
        api.pods = []
        error = await self.failure(kube, 0.5)
        assert isinstance(error, TunnelError)
        assert "it has no pod yet" in str(error)

    @pytest.mark.parametrize(
        ("refusal", "kind"),
        [
            (
                Refusal(403, 'User "eve" cannot list resource "pods" in API group "" in the namespace "kube-registry"'),
                TunnelForbiddenError,
            ),
            (Refusal(401, "Unauthorized"), CredentialsError),
        ],
    )
    async def test_what_no_waiting_mends_ends_it_at_once(
        self, api: FakeApi, kube: KubeClient, refusal: Refusal, kind: type[KubeRegistryError]
    ) -> None:
        api.list_refusals = repeat(refusal)
        assert type(await self.failure(kube, PATIENCE_SECONDS)) is kind
        assert api.looks == 2  # aiohttp itself sends a GET that was reset once more

    async def test_a_certificate_that_is_not_trusted_ends_it_at_once(self, tls_api: FakeApi, tmp_path: Path) -> None:
        stranger = pki.found(tmp_path / "stranger")
        async with open_client(settings_for(tls_api.server, stranger, tmp_path)) as kube, asyncio.timeout(5):
            assert isinstance(await self.failure(kube, PATIENCE_SECONDS), CertificateError)

    async def opened(self, kube: KubeClient, seconds: float) -> bool:
        async with open_tunnel(kube, 0, seconds=seconds):
            return True

    async def failure(self, kube: KubeClient, seconds: float) -> KubeRegistryError:
        with pytest.raises(KubeRegistryError) as raised:
            await self.opened(kube, seconds)
        return raised.value


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
