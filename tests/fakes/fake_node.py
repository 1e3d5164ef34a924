"""What the node does with an upgraded port-forward: the right thing, and each wrong thing that a test may choose."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from aiohttp import WSMsgType, web

DATA, ERROR = b"\x00", b"\x01"
GO_COPY_BUFFER = 32 * 1024
"""How much a real node sends in one message."""

CONTAINERD_LINGER_SECONDS = 0.05
"""How long the other way may go on when one has ended; 1 s in containerd (sandbox_portforward_linux.go)."""


@dataclass(frozen=True)
class Forward:
    """One port-forward.

    Attributes:
        ws: its WebSocket, open.
        transport: what carries that.
        pod: name of the pod.
        port: the port that was asked for.
        target: where that port really listens, on 127.0.0.1.
    """

    ws: web.WebSocketResponse
    transport: asyncio.Transport
    pod: str
    port: int
    target: int

    async def greet(self) -> None:
        """Send the port on both channels, as every forward starts."""
        for channel in (DATA, ERROR):
            await self.ws.send_bytes(channel + self.port.to_bytes(2, "little"))


Node = Callable[[Forward], Awaitable[None]]
"""Handles one forward; when it returns, the WebSocket is closed with code 1000, if it is open still."""


async def well(forward: Forward) -> None:
    """As kubelet and containerd do it."""
    await forward.greet()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.target)
    except OSError as error:
        words = f"error forwarding port {forward.port} to pod {forward.pod}, uid : failed to dial: {error.strerror}"
        await forward.ws.send_bytes(ERROR + words.encode())
        return
    with closing(writer), suppress(ConnectionError):
        ways = [
            asyncio.ensure_future(_to_pod(forward.ws, writer)),
            asyncio.ensure_future(_from_pod(reader, forward.ws)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(ways, timeout=CONTAINERD_LINGER_SECONDS)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _to_pod(ws: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    async for message in ws:
        assert message.type is WSMsgType.BINARY
        assert message.data[:1] == DATA
        writer.write(message.data[1:])
        await writer.drain()


async def _from_pod(reader: asyncio.StreamReader, ws: web.WebSocketResponse) -> None:
    while data := await reader.read(GO_COPY_BUFFER):
        await ws.send_bytes(DATA + data)


def sends(*messages: bytes | str, greeting: bool = True) -> Node:
    """A node that sends these messages and nothing else, then waits for the end."""

    async def node(forward: Forward) -> None:
        if greeting:
            await forward.greet()
        for message in messages:
            await (forward.ws.send_bytes(message) if isinstance(message, bytes) else forward.ws.send_str(message))
        await forward.ws.receive()

    return node


def closes(code: int, words: str = "", *, greeting: bool = True) -> Node:
    """A node that closes with this code."""

    async def node(forward: Forward) -> None:
        if greeting:
            await forward.greet()
        await forward.ws.close(code=code, message=words.encode())

    return node


async def silent(_: Forward) -> None:
    """Accepts and never says a word."""
    await asyncio.Event().wait()


async def reads_nothing(forward: Forward) -> None:
    """Greets and leaves everything that comes in the kernel."""
    underlying(forward.transport).pause_reading()
    await forward.greet()
    await asyncio.Event().wait()


async def ends_without_close(forward: Forward) -> None:
    """Sends half an answer and ends the TCP connection, with no Close message."""
    await forward.greet()
    await forward.ws.send_bytes(DATA + b"half")
    forward.transport.close()


async def resets(forward: Forward) -> None:
    """Sends half an answer and has the TCP connection reset."""
    await forward.greet()
    await forward.ws.send_bytes(DATA + b"half")
    await forward.ws.receive()
    reset(forward)


def reset(forward: Forward) -> None:
    """Have its TCP connection reset."""
    carrier: socket.socket = forward.transport.get_extra_info("socket")
    carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    forward.transport.abort()


def underlying(transport: asyncio.Transport) -> asyncio.Transport:
    """The transport of the TCP connection itself, which TLS hides."""
    tls = getattr(transport, "_ssl_protocol", None)
    return tls._transport if tls else transport
