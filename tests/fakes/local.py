"""The local program's end of a tunnel, as a test plays it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import TypeVar

import pytest

from kube_registry.concurrency import poll
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient
from kube_registry.lease.lease import Lease
from kube_registry.tunnel.errors import TunnelError
from kube_registry.tunnel.listener import Tunnel

T = TypeVar("T")

PATIENCE_SECONDS = 40.0
"""How long anything may take before a test calls it a hang."""


ENDLESS = 10**15
"""Bytes of a body whose end no test reaches."""


def head(tunnel: Tunnel, command: str) -> bytes:
    """The request that chooses what the far end does (target.py)."""
    path = "/".join(command.split())
    return f"POST /{path} HTTP/1.1\r\nHost: {tunnel.address}\r\nContent-Length: {ENDLESS}\r\n\r\n".encode()


def held(kube: KubeClient) -> Lease:
    """A lease that is never lost."""
    return Lease(kube.where)


@asynccontextmanager
async def connected(tunnel: Tunnel, command: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through the tunnel, which has chosen what the far end does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        writer.write(head(tunnel, command))
        yield reader, writer


async def asked(tunnel: Tunnel, command: str) -> bytes:
    """All that the far end answers to a command."""
    async with connected(tunnel, command) as (reader, _):
        return await reader.read()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send it all, in pieces."""
    view = memoryview(data)
    for start in range(0, len(view), 64 * 1024):
        writer.write(view[start : start + 64 * 1024])
        await writer.drain()


async def until(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once it is so; fail if it does not become so."""

    async def holds() -> bool | None:
        return condition() or None

    assert await poll(holds, seconds=seconds, pause=0.005), "it did not come to that"


async def settled(figure: Callable[[], T], *, seconds: float = 0.3) -> T:
    """A figure once it has not changed for a while."""
    before, since = figure(), 0.0
    while since < seconds:
        await asyncio.sleep(0.02)
        since = since + 0.02 if figure() == before else 0.0
        before = figure()
    return before


async def reset(tunnel: Tunnel) -> None:
    """Open a connection, which is reset, not ended."""
    async with connected(tunnel, "echo") as (reader, _), asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(ConnectionResetError):
            await reader.read()


def says_where(error: KubeRegistryError | None, tunnel: Tunnel) -> str:
    """The words of an error of this tunnel, whose fields and words both say where."""
    assert isinstance(error, TunnelError)
    assert (error.where, error.push_port) == (tunnel.kube.where, tunnel.port)
    where = error.where
    for word in (where.cluster, where.kube_context, where.namespace, f"port {tunnel.port} "):
        assert word in str(error)
    return str(error)
