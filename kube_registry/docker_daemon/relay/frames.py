"""What the relay and this process say to each other, over the one stream that an attached container is.

A frame is a kind (8 bits), a connection (24 bits) and a count (32 bits), in network order; after DATA come as many
bytes as the count says. relay.c is the other end. On its way here all of it is cut into Docker's own frames anywhere
(Docker Engine API, ContainerAttach): stream (1 byte), three zeros, length (32 bits).
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from enum import IntEnum

WINDOW = 1024 * 1024
"""How many bytes of a connection may be on their way; relay.c has the same number."""

PIECE = 64 * 1024
"""Most bytes that are sent in one frame."""

_READ = 256 * 1024
_FRAME = struct.Struct("!II")
_DOCKER = struct.Struct("!B3xI")
_STDERR = 2
_NUMBER = 0xFFFFFF


class Kind(IntEnum):
    """What a frame says; LISTENING is about no connection."""

    LISTENING = 0
    OPEN = 1
    DATA = 2
    END = 3
    RESET = 4
    CREDIT = 5


Frame = tuple[Kind, int, int, bytes]
"""Kind, connection, count, and of DATA a part of its bytes: the count is that of the part."""


def frame(kind: Kind, connection: int, count: int = 0) -> bytes:
    """Return a frame, for DATA without its bytes."""
    return _FRAME.pack(kind << 24 | connection, count)


async def read_frames(stream: asyncio.StreamReader) -> AsyncIterator[Frame]:
    """Read what the relay says until its stream ends; long DATA comes in parts.

    Raises:
        OSError: with what the relay said on its standard error.
    """
    async for (word, count), part in _cut(_standard_output(stream), _FRAME, _data_length):
        kind = Kind(word >> 24)
        yield kind, word & _NUMBER, len(part) if kind is Kind.DATA else count, part


async def _standard_output(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    said = b""
    async for (source, _), part in _cut(_pieces(stream), _DOCKER, lambda header: header[1]):
        if source == _STDERR:
            said += part
        else:
            yield part
    if said:
        raise OSError(said.decode(errors="replace").strip())


async def _pieces(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await stream.read(_READ):
        yield piece


async def _cut(
    pieces: AsyncIterator[bytes], header: struct.Struct, length: Callable[[tuple[int, int]], int]
) -> AsyncIterator[tuple[tuple[int, int], bytes]]:
    """Cut a stream of headers, each before as many bytes as it says, which come in parts."""
    begun, said, left = b"", (0, 0), 0
    async for piece in pieces:
        at = 0
        while at < len(piece):
            if left:
                part = piece[at : at + left]
                at, left = at + len(part), left - len(part)
                yield said, part
                continue
            missing = header.size - len(begun)
            begun += piece[at : at + missing]
            at += missing
            if len(begun) == header.size:
                (first, second), begun = header.unpack(begun), b""
                said = first, second
                left = length(said)
                if not left:
                    yield said, b""


def _data_length(header: tuple[int, int]) -> int:
    return header[1] if header[0] >> 24 == Kind.DATA else 0
