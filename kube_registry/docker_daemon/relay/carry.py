"""This machine's end of the relay: open a loopback connection for each one that it accepts, and forward the data."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial

from kube_registry.docker_daemon.relay.frames import PIECE, WINDOW, Frame, Kind, frame


@dataclass
class _Connection:
    """One connection from the daemon.

    Attributes:
        number: its number in the frames.
        received: data from the relay that is not written yet, at most WINDOW bytes; None at its end.
        credit: how many bytes may be sent to the relay.
        credited: set when the credit has grown.
    """

    number: int
    received: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    credit: int = WINDOW
    credited: asyncio.Event = field(default_factory=asyncio.Event)


async def carry(frames: AsyncIterator[Frame], relay: asyncio.StreamWriter, port: int) -> None:
    """Forward connections until the relay's stream ends, which breaks the open ones.

    Args:
        frames: frames from the relay.
        relay: writer to the relay.
        port: port of 127.0.0.1 to connect to.

    Raises:
        OSError: the stream was lost, or the relay failed.
    """
    carried: dict[int, tuple[_Connection, asyncio.Task[None]]] = {}
    async with asyncio.TaskGroup() as group:
        async for kind, number, count, part in frames:
            if kind is Kind.OPEN:
                opened = _Connection(number)
                task = group.create_task(_serve(opened, relay, port))
                carried[number] = opened, task
                task.add_done_callback(partial(_forget, carried, number))
            elif number in carried:
                connection, task = carried[number]
                match kind:
                    case Kind.DATA:
                        connection.received.put_nowait(part)
                    case Kind.END:
                        connection.received.put_nowait(None)
                    case Kind.CREDIT:
                        connection.credit += count
                        connection.credited.set()
                    case Kind.RESET:
                        task.cancel()
        for _, task in carried.values():
            task.cancel()


def _forget(carried: dict[int, tuple[_Connection, asyncio.Task[None]]], number: int, _task: asyncio.Task[None]) -> None:
    del carried[number]


async def _serve(connection: _Connection, relay: asyncio.StreamWriter, port: int) -> None:
    """Forward one connection in both directions, each until its own end; an error here resets the relay's side."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            try:
                async with asyncio.TaskGroup() as directions:
                    directions.create_task(_to_port(connection, writer, relay))
                    directions.create_task(_to_relay(connection, reader, relay))
            except BaseException:
                writer.transport.abort()
                raise
    except* OSError:
        await _send(relay, frame(Kind.RESET, connection.number))


async def _to_port(connection: _Connection, writer: asyncio.StreamWriter, relay: asyncio.StreamWriter) -> None:
    uncredited = 0
    while (part := await connection.received.get()) is not None:
        writer.write(part)
        await writer.drain()
        uncredited += len(part)
        if uncredited >= WINDOW // 4:
            await _send(relay, frame(Kind.CREDIT, connection.number, uncredited))
            uncredited = 0
    writer.write_eof()


async def _to_relay(connection: _Connection, reader: asyncio.StreamReader, relay: asyncio.StreamWriter) -> None:
    while True:
        while connection.credit == 0:
            connection.credited.clear()
            await connection.credited.wait()
        part = await reader.read(min(PIECE, connection.credit))
        if not part:
            break
        connection.credit -= len(part)
        await _send(relay, frame(Kind.DATA, connection.number, len(part)) + part)
    await _send(relay, frame(Kind.END, connection.number))


async def _send(relay: asyncio.StreamWriter, data: bytes) -> None:
    relay.write(data)
    with suppress(ConnectionResetError):  # `frames` ends then, too
        await relay.drain()
