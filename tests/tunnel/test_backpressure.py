"""How much a stalled peer makes a connection hold, counted from what the kernel says of our own two sockets.

Held = what was read from one socket, minus what was written to the other. Read = received by the kernel, minus what
waits there (SIOCINQ). Written = acknowledged by the peer's kernel, plus what waits to be sent (SIOCOUTQ). Where TLS or
the framing makes more of the bytes, they count as more.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD, TIOCOUTQ

import pytest

from kube_registry.kube.client import open_client
from kube_registry.kube.transport import WebSocket
from kube_registry.tunnel import listener as tunnelling
from kube_registry.tunnel.forward import Traffic, carry
from kube_registry.tunnel.listener import Tunnel, open_tunnel
from kube_registry.tunnel.local_end import LocalEnd
from lab import pki
from tests.fakes import fake_node
from tests.fakes.fake_api import FakeApi, settings_for
from tests.fakes.local import PATIENCE_SECONDS, connected, held, settled, until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

MOST = 640 * 1024
"""Bytes that one way of a connection may hold; the other then holds less, so that both together stay below a MiB."""

PLENTY = 32 * MOST

OVERHEAD = 1.004
"""Bytes of TLS and WebSocket for a byte carried; at most 22 for a record of 16 KiB, and 15 for a message of 32 KiB."""


class Ends:
    """The two sockets of the one connection that a test looks at."""

    accepted: socket.socket
    upgraded: socket.socket

    def held_on_the_way_up(self) -> int:
        """Bytes from the local program that are held."""
        return was_read(self.accepted) - int(was_written(self.upgraded) / OVERHEAD)

    def held_on_the_way_down(self) -> int:
        """Bytes from the node that are held."""
        return was_read(self.upgraded) - was_written(self.accepted)


def was_read(end: socket.socket) -> int:
    """Bytes that this program has taken out of a socket since it was opened."""
    return _tcp_info(end, _BYTES_RECEIVED) - _waiting(end, FIONREAD)


def was_written(end: socket.socket) -> int:
    """Bytes that this program has put into a socket since it was opened."""
    return _tcp_info(end, _BYTES_ACKED) + _waiting(end, TIOCOUTQ)


_BYTES_ACKED, _BYTES_RECEIVED = 120, 128
"""Where they stand in struct tcp_info (linux/tcp.h)."""


def _tcp_info(end: socket.socket, offset: int) -> int:
    (figure,) = struct.unpack_from("Q", end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), offset)
    return int(figure)


def _waiting(end: socket.socket, queue: int) -> int:
    (figure,) = struct.unpack("i", ioctl(end.fileno(), queue, bytes(4)))
    return int(figure)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Those of the connection that was opened last."""
    ends = Ends()

    async def looked_at(
        near: LocalEnd,
        ws: WebSocket,
        *,
        first: memoryview,
        port: int,
        traffic: Traffic,
        may_pass: Callable[[], bool],
    ) -> None:
        ends.accepted, ends.upgraded = near.transport.get_extra_info("socket"), ws.get_extra_info("socket")
        await carry(near, ws, first=first, port=port, traffic=traffic, may_pass=may_pass)

    monkeypatch.setattr(tunnelling, "carry", looked_at)
    return ends


@pytest.fixture(params=["api", "tls_api"])
def server(request: pytest.FixtureRequest) -> FakeApi:
    server: FakeApi = request.getfixturevalue(request.param)
    return server


@pytest.fixture
async def tunnel(server: FakeApi, ends: Ends, authority: pki.Authority, tmp_path: Path) -> AsyncIterator[Tunnel]:
    settings = settings_for(server.server, authority, tmp_path)
    async with open_client(settings) as kube, open_tunnel(kube, 0, held(kube), seconds=PATIENCE_SECONDS) as tunnel:
        del ends.accepted, ends.upgraded
        yield tunnel


async def test_a_node_that_does_not_read(tunnel: Tunnel, server: FakeApi, ends: Ends) -> None:
    server.node = fake_node.reads_nothing
    async with connected(tunnel, "") as (_, writer):
        await until(lambda: hasattr(ends, "accepted"))
        before = ends.held_on_the_way_up()
        writer.write(bytes(PLENTY))
        held = await settled(ends.held_on_the_way_up) - before
    assert 0 < held <= MOST


async def test_a_program_that_does_not_read(tunnel: Tunnel, server: FakeApi, ends: Ends) -> None:
    server.node = fake_node.sends(*[fake_node.DATA + bytes(fake_node.GO_COPY_BUFFER)] * (PLENTY // 32768))
    async with connected(tunnel, "") as (reader, _):
        await until(lambda: hasattr(ends, "accepted"))
        held = await settled(ends.held_on_the_way_down)
        assert not reader.at_eof()
    assert 0 < held <= MOST
