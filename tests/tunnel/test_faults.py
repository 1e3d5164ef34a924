"""What a tunnel makes of a far end, or a local program, that does wrong: one error, a reset, never a hang."""

import asyncio
import logging
from dataclasses import replace
from itertools import repeat

import pytest

from kube_registry.names import WRITE_PORT
from kube_registry.tunnel import forward as forwarding
from kube_registry.tunnel.errors import PodGoneError, TunnelError, TunnelProtocolError
from kube_registry.tunnel.listener import Tunnel
from tests.fakes import fake_node
from tests.fakes.fake_api import FakeApi, Refusal
from tests.fakes.fake_node import DATA, ERROR, Node, closes, sends
from tests.fakes.local import PATIENCE_SECONDS, asked, connected, reset, says_where, settled, until
from tests.fakes.ports import free_port
from tests.fakes.target import given

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30), pytest.mark.usefixtures("no_pauses")]

PORT = WRITE_PORT.to_bytes(2, "little")


class TestNode:
    @pytest.mark.parametrize(
        ("node", "kind", "words"),
        [
            (sends(DATA, greeting=False), TunnelProtocolError, "00 instead of port 5000 on channel 0"),
            (sends(DATA + PORT[:1], greeting=False), TunnelProtocolError, "0088 instead of port 5000 on channel 0"),
            (sends(DATA + b"\x50\x00", greeting=False), TunnelProtocolError, "005000 instead of port 5000"),
            (
                sends(DATA + PORT, DATA + b"data", greeting=False),
                TunnelProtocolError,
                "instead of port 5000 on channel 1",
            ),
            (sends(ERROR + PORT, DATA + PORT, greeting=False), TunnelProtocolError, "018813 instead of port 5000"),
            (sends(b""), TunnelProtocolError, "an empty message"),
            (sends(b"\x02data"), TunnelProtocolError, "a message on the unknown channel 2"),
            (sends("text"), TunnelProtocolError, "a text message"),
            (sends(DATA + bytes(300 * 1024)), TunnelProtocolError, "exceeds limit"),
            (
                sends(ERROR + b"error forwarding port 5000\nto pod registry-1"),
                TunnelError,
                "error forwarding port 5000 to",
            ),
            (
                closes(1000, greeting=False),
                TunnelError,
                "the node closed the connection before it sent the port number",
            ),
            (closes(1011, "oops"), TunnelError, "closed with code 1011: oops"),
            (fake_node.ends_without_close, TunnelError, "the connection was lost"),
            (fake_node.resets, TunnelError, "the connection was lost"),
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
        assert "instead of v4.channel.k8s.io" in says_where(tunnel.trouble, tunnel)

    async def test_a_pod_that_does_not_listen_is_in_the_nodes_words(self, api: FakeApi, tunnel: Tunnel) -> None:
        api.pods = [replace(api.pods[0], target=free_port())]
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
        assert "its pod is terminating" in says_where(tunnel.trouble, tunnel)

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
        monkeypatch.setattr(forwarding, "LINGER_SECONDS", 0.25)
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
        await until(lambda: not tunnel.connections)
        assert tunnel.trouble is None
        assert await asked(tunnel, "give 5") == b"10000"
        assert api.upgrades
