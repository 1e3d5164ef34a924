"""The local end of one connection: a program on this machine, whose bytes are read directly into messages.

Only requests that http_guard allows become messages. asyncio's streams would copy each byte three times between the
socket and its message, which is a fifth of the CPU time of an upload.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress

from kube_registry.tunnel.frames import HEADER, Channel, blank
from kube_registry.tunnel.http_guard import HttpGuard

PIECE = 64 * 1024
"""Maximum bytes per message to the node, which copies half of that at a time: no message delays others for long."""

_MESSAGES = 2
"""One is being sent while the next is read."""

REFUSED_SECONDS = 2.0
"""How long a program may go on sending after its request was refused, before the connection is closed."""

Serve = Callable[["LocalEnd"], Coroutine[None, None, None]]
"""Serves one accepted connection until it ends."""


class LocalEnd(asyncio.BufferedProtocol):
    """One accepted connection; at most _MESSAGES are read ahead.

    Args:
        serve: is started in a new task for the connection.

    Attributes:
        transport: the transport to the local program.
        task: the task that serves the connection.
    """

    transport: asyncio.Transport
    task: asyncio.Task[None]

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._empty = deque(memoryview(blank(PIECE)) for _ in range(_MESSAGES))
        self._read: deque[tuple[memoryview, int]] = deque()
        self._lent: memoryview | None = None
        self._rest: memoryview | None = None
        self._ended = False
        self._lost = False
        self._something = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    async def message(self) -> memoryview | None:
        """Return the next message to the node, valid until the next call; None once the program has closed its side.

        Raises:
            RefusedRequestError: a request is not allowed. Only `refuse` may be called after that.
        """
        if self._rest is not None:
            rest, self._rest = self._rest, None
            return rest
        while (piece := await self._piece()) is not None:
            held, end = self._guard.feed(piece[HEADER:])
            passing = piece[: HEADER + end] if end else None
            if held:
                self._rest = passing
                return memoryview(bytes([Channel.DATA]) + held)
            if passing is not None:
                return passing
        return None

    def write(self, data: memoryview) -> None:
        """Write data from the node to the program."""
        self._guard.answers.feed(data)
        self.transport.write(data)

    async def refuse(self, answer: bytes) -> None:
        """Write a response and close, without a reset, which would hide the response from a program that still sends.

        If an earlier request has no whole response yet, reset the connection: the program would read the refusal as
        part of that response.
        """
        if not self._guard.may_answer:
            self.reset()
            return
        with suppress(OSError):  # the program has closed the connection, or the timeout has expired
            async with asyncio.timeout(REFUSED_SECONDS):
                await self.drain()
                self.transport.write(answer)
                self.transport.write_eof()
                while await self._piece() is not None:
                    pass

    async def _piece(self) -> memoryview | None:
        """Return the next bytes read, with room for a message's header; None once the program has closed its side."""
        if self._lent is not None:
            self._empty.append(self._lent)
            self._lent = None
            self.transport.resume_reading()
        while not self._read:
            if self._ended:
                return None
            self._something.clear()
            await self._something.wait()
        self._lent, count = self._read.popleft()
        return self._lent[: HEADER + count]

    async def drain(self) -> None:
        """Wait until more can be written to the program.

        Raises:
            ConnectionResetError: the program has closed the connection.
        """
        if self.transport.is_closing():
            await asyncio.sleep(0)  # lets `connection_lost` be called
        await self._may_write.wait()
        if self._lost:
            raise ConnectionResetError("the local program has closed the connection")

    def reset(self) -> None:
        """Reset the connection, so that the program sees an error; an abort alone would look like a normal end."""
        reset(self.transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the task that serves the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio gives to servers
        self.transport = transport
        self._guard = HttpGuard(transport.get_extra_info("sockname")[1])
        self.task = asyncio.ensure_future(self._serve(self))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's own interface
        """Return the buffer for the next bytes: an empty message, after its channel."""
        return self._empty[0][HEADER:]

    def buffer_updated(self, nbytes: int) -> None:
        """Queue the bytes that were read, and pause reading while no message is empty."""
        self._read.append((self._empty.popleft(), nbytes))
        if not self._empty:
            self.transport.pause_reading()
        self._something.set()

    def eof_received(self) -> bool:
        """Keep the other direction open: the program waits for its response."""
        self._ended = True
        self._something.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own interface
        """Wake up everything that waits for the connection."""
        self._ended = self._lost = True
        self._something.set()
        self._may_write.set()

    def pause_writing(self) -> None:
        """Make `drain` wait: the program reads more slowly than data arrives."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Let `drain` return: the program has caught up."""
        self._may_write.set()


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection, and discard unsent data, also in the kernel."""
    if not transport.is_closing():
        no_linger = struct.pack("ii", 1, 0)  # on, 0 s: socket(7), SO_LINGER
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    transport.abort()
