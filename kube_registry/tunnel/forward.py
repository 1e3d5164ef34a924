"""One TCP connection carried over one WebSocket in the subprotocol v4.channel.k8s.io, both ways at once.

Neither way reads on before what it has read is taken: a stalled peer stalls the other, and nothing piles up here.
Owns neither end; who opened them closes them.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from kube_registry.concurrency import together
from kube_registry.kube.transport import WebSocket
from kube_registry.text import one_line
from kube_registry.tunnel.frames import HEADER, PROTOCOL, Channel, FramingError, check_port, unwrap
from kube_registry.tunnel.local_end import PIECE, LocalEnd

LINGER_SECONDS = 10.0
"""How long the pod may be silent once the local program has ended its side, before the connection is given up."""

_GOODBYE = 1000
"""The code of a WebSocket that was closed on purpose (RFC 6455, 7.4.1)."""


class NodeError(Exception):
    """The node's own words on the error channel, or how it broke the connection off."""


@dataclass
class Traffic:
    """Bytes carried so far.

    Args:
        sent: to the pod.
        received: from the pod.
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
    """Carry until either side ends.

    Args:
        local: the local program.
        socket: the open WebSocket.
        first: the first message to the node.
        port: the pod's port, which the node repeats first on either channel.
        traffic: is kept up to date.
        may_pass: is asked before each message is passed on; when it says no, its owner has cancelled this task.

    Raises:
        FramingError: the node sent something that the protocol does not allow.
        NodeError: the node said why it ended, or ended without a word.
        RefusedRequestError: the local program sent a request that may not pass.
    """
    if socket.protocol != PROTOCOL:
        raise FramingError(f"subprotocol {socket.protocol or 'none'} in place of {PROTOCOL}")
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
    """Carry to the node, from that message on.

    There is no half-close: the local program's end cannot be passed on, so the WebSocket stays open until the pod
    has said what it still has to say (kubelet pkg/cri/streaming/portforward/websocket.go).
    """
    with suppress(ConnectionError):
        while message is not None:
            if not may_pass():
                return
            await socket.send_bytes(message)  # type: ignore[arg-type] # it takes any buffer, and copies it
            traffic.sent += len(message) - HEADER
            message = await local.message()
    heard = -1
    while heard != traffic.received or local.transport.get_write_buffer_size():
        heard = traffic.received
        await asyncio.sleep(LINGER_SECONDS)
    await socket.close()


async def _down(local: LocalEnd, socket: WebSocket, port: int, traffic: Traffic, may_pass: Callable[[], bool]) -> None:
    """Carry from the node."""
    for channel in (Channel.DATA, Channel.ERROR):
        if (message := await _message(socket)) is None:
            raise NodeError("the node closed before it said which port it forwards")
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
            return  # the local program went away, which is its right


async def _hand_over(data: memoryview, local: LocalEnd, carrier: asyncio.Transport) -> None:
    """Give it to the local program, and read nothing from the node while that takes nothing.

    aiohttp alone would read on until it holds half a MiB, and TLS as much again.
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
    """The next message; None at a clean end, on whichever side it began."""
    message = await socket.receive()
    match message.type:
        case aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        case aiohttp.WSMsgType.TEXT:
            raise FramingError("a text message, where only binary ones are allowed")
        case aiohttp.WSMsgType.ERROR:
            raise FramingError(str(message.data))
        case aiohttp.WSMsgType.CLOSE if message.data != _GOODBYE:
            raise NodeError(f"the node closed with code {message.data}: {message.extra or 'no reason given'}")
        case aiohttp.WSMsgType.CLOSED:
            raise NodeError("the connection broke off")
        case _:
            return None
