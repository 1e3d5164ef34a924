"""The local end of one connection: a program of this machine, whose bytes are read into the messages that carry them.

Only requests that http_guard lets pass become messages. asyncio's streams would copy each byte three times between the
socket and its message; that is a fifth of what an upload costs the processor.
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
"""Most bytes per message to the node, which copies half of that at once: nothing is held up for long."""

_MESSAGES = 2
"""One is on its way while the next is read."""

REFUSED_SECONDS = 2.0
"""How long a program whose request was refused may go on sending before it has read why."""

Serve = Callable[["LocalEnd"], Coroutine[None, None, None]]
"""What is done for one accepted connection until it ends."""


class LocalEnd(asyncio.BufferedProtocol):
    """One accepted connection; no more than _MESSAGES of it are read before they are taken.

    Args:
        serve: is started for it, in a task of its own.

    Attributes:
        transport: leads to the program.
        task: serves it.
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
        """The next message to the node, good until the next is asked for; None once the program has ended its side.

        Raises:
            RefusedRequestError: a request may not pass. `refuse` is all that may follow.
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
        """Give the program what has come back."""
        self._guard.answers.feed(data)
        self.transport.write(data)

    async def refuse(self, answer: bytes) -> None:
        """Write an answer and end, without a reset: to a program that is still sending, that would hide the answer.

        Where an earlier request is not answered yet, the connection is reset: the program would read the refusal as a
        part of that answer.
        """
        if not self._guard.may_answer:
            self.reset()
            return
        with suppress(OSError):  # the program is gone, or the time is over
            async with asyncio.timeout(REFUSED_SECONDS):
                await self.drain()
                self.transport.write(answer)
                self.transport.write_eof()
                while await self._piece() is not None:
                    pass

    async def _piece(self) -> memoryview | None:
        """What was read next, after room for a message's header; None once the program has ended its side."""
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
        """Return when the program may get more.

        Raises:
            ConnectionResetError: it is gone.
        """
        if self.transport.is_closing():
            await asyncio.sleep(0)  # lets `connection_lost` be called
        await self._may_write.wait()
        if self._lost:
            raise ConnectionResetError("the local program is gone")

    def reset(self) -> None:
        """End it as an error to the program; to it, an abort alone is an end like any other."""
        reset(self.transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio gives to servers
        self.transport = transport
        self._guard = HttpGuard(transport.get_extra_info("sockname")[1])
        self.task = asyncio.ensure_future(self._serve(self))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's own interface
        """Where the next bytes go: into an empty message, after its channel."""
        return self._empty[0][HEADER:]

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read, and read no more while no message is empty."""
        self._read.append((self._empty.popleft(), nbytes))
        if not self._empty:
            self.transport.pause_reading()
        self._something.set()

    def eof_received(self) -> bool:
        """Keep the other way open: the program waits for its answer."""
        self._ended = True
        self._something.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own interface
        """Let nobody wait for it."""
        self._ended = self._lost = True
        self._something.set()
        self._may_write.set()

    def pause_writing(self) -> None:
        """The program takes less than it is given."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write.set()


def reset(transport: asyncio.Transport) -> None:
    """End a connection as an error to its peer, without what is still to be sent, in the kernel too."""
    if not transport.is_closing():
        no_linger = struct.pack("ii", 1, 0)  # on, 0 s: socket(7), SO_LINGER
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    transport.abort()
