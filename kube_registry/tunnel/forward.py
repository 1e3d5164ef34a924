"""Forward one TCP connection over one WebSocket in the subprotocol v4.channel.k8s.io, in both directions at once.

Each direction reads more only when its last data was accepted: a stalled peer stalls the other, and no data piles up
here. The caller opens and closes both ends.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from kube_registry.concurrency import together
from kube_registry.kube.transport import WebSocket
from kube_registry.text import one_line
from kube_registry.tunnel.frames import HEADER, Channel, FramingError, check_port, unwrap
from kube_registry.tunnel.local_end import PIECE, LocalEnd

LINGER_SECONDS = 10.0
"""How long the pod may send nothing, after the local program has closed its side, before the connection is closed."""

_GOODBYE = 1000
"""Status code of a normal WebSocket closure (RFC 6455, 7.4.1)."""


class NodeError(Exception):
    """The node's message on the error channel, or how the node closed the connection."""


@dataclass
class Traffic:
    """Bytes forwarded so far.

    Args:
        sent: bytes to the pod.
        received: bytes from the pod.
    """

    sent: int = 0
    received: int = 0

    def __add__(self, more: "Traffic") -> "Traffic":
        """Return the sum."""
        return Traffic(self.sent + more.sent, self.received + more.received)


async def carry(
    local: LocalEnd,
    socket: WebSocket,
    *,
    first: memoryview,
    port: int,
    traffic: Traffic,
    may_pass: Callable[[], bool],
) -> None:
    """Forward until either side ends.

    Args:
        local: the local program.
        socket: the open WebSocket.
        first: the first message to the node.
        port: the pod's port, which the node sends first on each channel.
        traffic: the counters to update.
        may_pass: is called before each message is forwarded; when it returns False, its owner has cancelled this task.

    Raises:
        FramingError: the node violated the protocol.
        NodeError: the node sent an error, or the connection was lost.
        RefusedRequestError: the local program sent a request that is not allowed.
    """
    for transport in (socket.transport, local.transport):
        transport.set_write_buffer_limits(high=PIECE)  # TLS alone would hold half a MiB
    async with together() as ways:
        up = ways.create_task(_up(local, socket, first, traffic, may_pass))
        await _down(local, socket, port, traffic, may_pass)
        up.cancel()


async def _up(
    local: LocalEnd,
    socket: WebSocket,
    message: memoryview | None,
    traffic: Traffic,
    may_pass: Callable[[], bool],
) -> None:
    """Forward to the node, starting with a message.

    The protocol has no half-close: after the local program has closed its side, the WebSocket stays open until the pod
    has sent the rest (kubelet pkg/cri/streaming/portforward/websocket.go).
    """
    with suppress(ConnectionError):
        while message is not None:
            if not may_pass():
                return
            await socket.send_bytes(message)  # type: ignore[arg-type] # it takes any buffer, and copies it
            traffic.sent += len(message) - HEADER
            message = await local.message()
    before = -1
    while before != traffic.received or local.transport.get_write_buffer_size():
        before = traffic.received
        await asyncio.sleep(LINGER_SECONDS)
    await socket.close()


async def _down(local: LocalEnd, socket: WebSocket, port: int, traffic: Traffic, may_pass: Callable[[], bool]) -> None:
    """Forward from the node."""
    for channel in (Channel.DATA, Channel.ERROR):
        if (message := await _message(socket)) is None:
            raise NodeError("the node closed the connection before it sent the port number")
        check_port(message, channel, port)
    while (message := await _message(socket)) is not None:
        channel, data = unwrap(message)
        if channel is Channel.ERROR:
            raise NodeError(one_line(bytes(data).decode(errors="replace")))
        if not may_pass():
            return
        traffic.received += len(data)
        try:
            await _hand_over(data, local, socket.transport)
        except ConnectionError:
            return  # the local program has closed the connection, which is no error


async def _hand_over(data: memoryview, local: LocalEnd, carrier: asyncio.Transport) -> None:
    """Write data to the local program, and stop reading from the node while its buffer is full.

    aiohttp alone would buffer half a MiB, and TLS as much again.
    """
    local.write(data)
    if local.transport.get_write_buffer_size() <= PIECE:
        await local.drain()  # at once; raises if the local program is gone
        return
    carrier.pause_reading()
    try:
        await local.drain()
    finally:
        carrier.resume_reading()


async def _message(socket: WebSocket) -> bytes | None:
    """Return the next message; None if either side closed the WebSocket normally."""
    message = await socket.receive()
    match message.type:
        case aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        case aiohttp.WSMsgType.TEXT:
            raise FramingError("the node sent a text message; only binary messages are allowed")
        case aiohttp.WSMsgType.ERROR:
            raise FramingError(str(message.data))
        case aiohttp.WSMsgType.CLOSE if message.data != _GOODBYE:
            raise NodeError(f"the node closed with code {message.data}: {message.extra or 'no reason given'}")
        case aiohttp.WSMsgType.CLOSED:
            raise NodeError("the connection was lost")
        case _:
            return None
