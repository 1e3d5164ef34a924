"""A Docker engine's API at a TCP address, as a job finds that of a service beside it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

from lab.docker_site import Engine


@asynccontextmanager
async def over_tcp(engine: Engine, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A block in which an engine that listens at a socket is reached at tcp://localhost:PORT, too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(engine.host.removeprefix("unix://"))
        with closing(writer), closing(far_writer):
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    async with await asyncio.start_server(serve, "localhost", 0, ssl=tls, family=socket.AF_INET) as server:
        yield f"tcp://localhost:{server.sockets[0].getsockname()[1]}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
