"""A proxy that leads to one place, whatever it is asked for."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address


@dataclass
class Proxy:
    """A proxy that leads to one place whatever it is asked for.

    Args:
        url: where it is, with a name and a password that it wants to be shown.
        asked: the host and port of each connection that it was asked for.
        shown: the names and passwords that it was shown.
    """

    url: str
    asked: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


Handshake = Callable[[Proxy, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def run_proxy(to: str, kind: str = "http", tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Run one on loopback.

    Args:
        to: URL of the place that it leads to.
        kind: scheme of its URL: http, https, socks5 or socks5h.
        tls: what an https proxy serves with.
    """
    proxy = Proxy("")
    port = int(to.rpartition(":")[2])
    handshake: Handshake = _socks if kind.startswith("socks") else _connect
    open_ends: list[asyncio.StreamWriter] = []
    running: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())
        try:
            await handshake(proxy, reader, writer)
        except EOFError:  # it was not trusted
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        open_ends.extend([writer, far_writer])
        await asyncio.gather(passed_on(reader, far_writer), passed_on(far_reader, writer))

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    password = "s%40cret" if handshake is _socks else "s%C3%A9cret"
    proxy.url = f"{kind}://me:{password}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy
    for end in open_ends:
        end.close()
    if running:
        await asyncio.wait([task for task in running if task], timeout=5)


async def _connect(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP's CONNECT (RFC 9110, 9.3.6)."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    proxy.asked.append(head[0].removeprefix("CONNECT ").removesuffix(" HTTP/1.1"))
    proxy.shown.append(base64.b64decode(headers["Proxy-Authorization"].removeprefix("Basic ")).decode())
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


async def _socks(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SOCKS5 (RFC 1928) with a name and a password (RFC 1929), for hosts that are names or IPv4 addresses."""

    async def counted() -> bytes:
        return await reader.readexactly((await reader.readexactly(1))[0])

    assert await reader.readexactly(1) == b"\x05"
    assert 2 in await counted()
    writer.write(b"\x05\x02")
    await reader.readexactly(1)
    proxy.shown.append(b":".join([await counted(), await counted()]).decode())
    writer.write(b"\x01\x00")
    *_, kind = await reader.readexactly(4)
    host = (await counted()).decode() if kind == 3 else str(IPv4Address(await reader.readexactly(4)))
    proxy.asked.append(f"{host}:{int.from_bytes(await reader.readexactly(2))}")
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
