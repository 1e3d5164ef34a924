"""The tunnel: a listener on this machine's loopback whose connections end at the registry's write door.

One WebSocket per TCP connection, so that a slow one does not hold up the others; the pod is chosen anew for each,
so that a restarted pod serves the next. Kubernetes RBAC on pods/portforward is the permission to write.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from cluster.frames import PROTOCOL, Channel, FramingError, check_port, unwrap, wrap
from cluster.kube import KubeClient
from cluster.pods import choose, explain, registry_pods
from cluster.polling import poll
from stack.errors import ForbiddenError, KubeRegistryError, PushPortBusyError, TunnelError
from stack.names import WRITE_PORT

_PAUSE = 0.2
_PIECE = 64 * 1024
"""Bytes per message: what the node's side copies at once, so that nothing is held up for long."""

_LINGER = 10.0
"""Seconds that a connection stays open for its answer after the local program has ended its side."""


@dataclass
class Tunnel:
    """An open tunnel; `open_tunnel` makes it and closes it.

    Args:
        kube: client of the cluster that it leads to.
        port: the push port that it listens on, on 127.0.0.1.
    """

    kube: KubeClient
    port: int
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _trouble: KubeRegistryError | None = None

    async def prove(self, seconds: float) -> None:
        """Return once the registry has answered GET /v2/ with 200 through this tunnel.

        Raises:
            ForbiddenError: a right is missing, which no waiting brings.
            TunnelError: it did not within `seconds`; with the last real cause.
        """
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session:

            async def answers() -> bool | None:
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/v2/") as answer:
                        return answer.status == 200 or None  # noqa: PLR2004 - HTTP's OK
                except (aiohttp.ClientError, TimeoutError):
                    if isinstance(self._trouble, ForbiddenError):
                        raise self._trouble from None
                    return None

            if not await poll(answers, seconds=seconds, pause=_PAUSE):
                if isinstance(self._trouble, TunnelError):
                    raise self._trouble
                raise self._error(str(self._trouble or "no answer from the registry"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one accepted connection to the write door and back until either side ends it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs every connection in a task of its own
        self._connections.add(task)
        try:
            await self._carry(reader, writer)
        except KubeRegistryError as error:
            self._trouble = error
        except asyncio.CancelledError:
            pass  # cut by end_connections; the server of Python 3.11 takes no cancelled task
        finally:
            self._connections.discard(task)
            writer.close()

    async def end_connections(self) -> None:
        """Cut what is still open and wait until it is gone."""
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pods = await registry_pods(self.kube)
        pod = choose(pods)
        if pod is None:
            raise self._error(explain(pods))
        path = f"/api/v1/namespaces/{self.kube.where.namespace}/pods/{pod}/portforward"
        async with await self.kube.websocket(path, PROTOCOL, ports=str(WRITE_PORT)) as socket:
            problem = await _forward(socket, reader, writer)
        if problem is not None:
            raise self._error(f"pod {pod}: {problem}")

    def _error(self, reason: str) -> TunnelError:
        return TunnelError(where=self.kube.where, push_port=self.port, reason=reason)


@asynccontextmanager
async def open_tunnel(kube: KubeClient, port: int, *, seconds: float) -> AsyncIterator[Tunnel]:
    """A tunnel on 127.0.0.1 whose registry has answered, closed at the end with all its connections.

    Args:
        kube: client of the registry's cluster.
        port: the push port; 0 lets the system choose one.
        seconds: how long the registry may take to answer through it.

    Raises:
        PushPortBusyError: another program listens there.
        ForbiddenError: a right is missing.
        TunnelError: the registry did not answer through it.
    """
    tunnel = Tunnel(kube, port)
    try:
        server = await asyncio.start_server(tunnel.serve, "127.0.0.1", port, limit=_PIECE)
    except OSError as error:
        kind = PushPortBusyError if error.errno == errno.EADDRINUSE else TunnelError
        reason = os.strerror(error.errno or 0)
        raise kind(where=kube.where, push_port=port, reason=reason) from error
    tunnel.port = server.sockets[0].getsockname()[1]
    try:
        await tunnel.prove(seconds)
        yield tunnel
    finally:
        server.close()
        await tunnel.end_connections()


async def _forward(
    socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str | None:
    """Carry data until the node ends the connection; what it said or did wrong, if anything."""
    async with asyncio.TaskGroup() as ways:
        up = ways.create_task(_up(reader, socket))
        try:
            return await _down(socket, writer)
        except FramingError as error:
            return str(error)
        finally:
            up.cancel()


async def _up(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Carry to the node; the local end is not passed on at once, for the answer may still be under way."""
    with suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            await socket.send_bytes(wrap(data))
    await asyncio.sleep(_LINGER)
    await socket.close()


async def _down(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> str | None:
    """Carry from the node; its own words, if it had to say something."""
    for channel in (Channel.DATA, Channel.ERROR):
        check_port(await _binary(socket) or b"", channel, WRITE_PORT)
    while message := await _binary(socket):
        channel, data = unwrap(message)
        if channel is Channel.ERROR:
            return bytes(data).decode(errors="replace")
        try:
            writer.write(data)
            await writer.drain()
        except ConnectionError:
            return None  # the local program went away, which is its right
    return None


async def _binary(socket: aiohttp.ClientWebSocketResponse) -> bytes | None:
    """The next message, or None at the end."""
    message = await socket.receive()
    return message.data if message.type is aiohttp.WSMsgType.BINARY else None
