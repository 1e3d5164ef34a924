"""Frames between the relay and this process, over the single stream of an attached container.

A frame is a kind (8 bits), a connection (24 bits) and a count (32 bits), in network byte order. DATA is followed by
`count` bytes. relay.c is the other end. Docker splits the relay's output at any position into its own frames (Docker
Engine API, ContainerAttach): stream (1 byte), three zeros, length (32 bits).
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from enum import IntEnum

WINDOW = 1024 * 1024
"""Maximum bytes of a connection that are sent but not yet credited; relay.c has the same number."""

PIECE = 64 * 1024
"""Maximum bytes in one frame that is sent."""

_READ = 256 * 1024
_FRAME = struct.Struct("!II")
_DOCKER = struct.Struct("!B3xI")
_STDERR = 2
_NUMBER = 0xFFFFFF


class Kind(IntEnum):
    """Kind of a frame; LISTENING belongs to no connection."""

    LISTENING = 0
    OPEN = 1
    DATA = 2
    END = 3
    RESET = 4
    CREDIT = 5


Frame = tuple[Kind, int, int, bytes]
"""Kind, connection, count, and for DATA a part of its bytes; the count is then the length of that part."""


def frame(kind: Kind, connection: int, count: int = 0) -> bytes:
    """Return a frame; for DATA without its bytes."""
    return _FRAME.pack(kind << 24 | connection, count)


async def read_frames(stream: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Yield the relay's frames until its stream ends; long DATA is split into parts.

    Raises:
        OSError: the relay failed; has the text of its standard error.
    """
    async for (word, count), part in _cut(_standard_output(stream), _FRAME, _data_length):
        kind = Kind(word >> 24)
        yield kind, word & _NUMBER, len(part) if kind is Kind.DATA else count, part


async def _standard_output(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    errors = b""
    async for (source, _), part in _cut(_pieces(stream), _DOCKER, lambda header: header[1]):
        if source == _STDERR:
            errors += part
        else:
            yield part
    if errors:
        raise OSError(errors.decode(errors="replace").strip())


async def _pieces(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await stream.read(_READ):
        yield piece


async def _cut(
    pieces: AsyncIterator[bytes], header: struct.Struct, length: Callable[[tuple[int, int]], int]
) -> AsyncIterator[tuple[tuple[int, int], bytes]]:
    """Split a stream into headers with their payloads; a payload may be split into parts."""
    begun, fields, left = b"", (0, 0), 0
    async for piece in pieces:
        at = 0
        while at < len(piece):
            if left:
                part = piece[at : at + left]
                at, left = at + len(part), left - len(part)
                yield fields, part
                continue
            missing = header.size - len(begun)
            begun += piece[at : at + missing]
            at += missing
            if len(begun) == header.size:
                (first, second), begun = header.unpack(begun), b""
                fields = first, second
                left = length(fields)
                if not left:
                    yield fields, b""


def _data_length(header: tuple[int, int]) -> int:
    return header[1] if header[0] >> 24 == Kind.DATA else 0
