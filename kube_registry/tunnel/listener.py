"""The tunnel: a listener on this machine's loopback that forwards connections to a port of the registry's pod.

Each TCP connection has its own WebSocket, so that a slow connection does not delay the others. The pod is chosen for
each connection, so that a new pod serves the next one. The RBAC permission on pods/portforward is the permission to
write.

A tunnel to the write door requires a lease, and forwards only while the lease is held. Without a lease it leads to the
read door, where the registry refuses every write.
"""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from kube_registry.concurrency import meanwhile, poll
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import CertificateError, CredentialsError, KubeconfigError
from kube_registry.kube.pods import explain, is_lost, registry_pods
from kube_registry.lease.errors import LeaseLostError
from kube_registry.lease.lease import Lease
from kube_registry.limits import TUNNEL_SECONDS
from kube_registry.names import READ_PORT, WRITE_PORT
from kube_registry.tunnel.connect import dial, keep_spare
from kube_registry.tunnel.errors import (
    PodGoneError,
    PushPortBusyError,
    TunnelError,
    TunnelForbiddenError,
    TunnelProtocolError,
    TunnelTimeoutError,
)
from kube_registry.tunnel.forward import NodeError, Traffic, carry
from kube_registry.tunnel.frames import FramingError
from kube_registry.tunnel.http_head import RefusedRequestError
from kube_registry.tunnel.local_end import LocalEnd, reset
from kube_registry.tunnel.loopback import bind
from kube_registry.tunnel.watch import Connection, watch

_NOT_TRANSIENT = (TunnelForbiddenError, CredentialsError, CertificateError, KubeconfigError)
_PAUSE = 0.2
_LOG = logging.getLogger("kube_registry.tunnel")


@dataclass
class Tunnel:
    """An open tunnel; `open_tunnel` creates and closes it.

    Args:
        kube: client of the registry's cluster.
        port: the push port, on which it listens on 127.0.0.1 and [::1].
        lease: the lease for the write door; None for a tunnel to the read door.
        reconnects: number of connections that reached another pod than the one before, or needed a retry.
        trouble: the last failure since `prove` was last called.
        broken: why the tunnel was broken off; None while it works.
        connections: the open connections.
        dialling: is set by each connection to a pod that is about to be opened.
    """

    kube: KubeClient
    port: int
    lease: Lease | None
    reconnects: int = 0
    trouble: KubeRegistryError | None = None
    broken: KubeRegistryError | None = None
    connections: list[Connection] = field(default_factory=list)
    dialling: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: Traffic = field(default_factory=Traffic)
    _pod: str | None = None

    @property
    def address(self) -> str:
        """The address on which it always listens."""
        return f"127.0.0.1:{self.port}"

    def is_open(self) -> bool:
        """Return whether it still forwards: it was not broken off, and its lease is held."""
        return (self.lease is None or self.lease.held()) and self.broken is None

    @property
    def traffic(self) -> Traffic:
        """Bytes that all connections have forwarded, closed ones included."""
        return sum((each.traffic for each in self.connections), self._ended)

    async def prove(self, seconds: float = TUNNEL_SECONDS) -> None:
        """Wait until the registry has answered GET /v2/ with 200 through this tunnel.

        Args:
            seconds: how long to wait.

        Raises:
            ClusterError: a permission is missing, credentials or certificate are not accepted, or the tunnel was broken
                off; raised at once, because waiting does not help.
            TunnelError: the registry did not answer within `seconds`; has the last cause.
        """
        self.trouble = None
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session:

            async def answers() -> bool | None:
                try:
                    async with session.get(f"http://{self.address}/v2/") as answer:
                        return answer.status == HTTPStatus.OK or None
                except (aiohttp.ClientError, TimeoutError):
                    if final := self.broken or (self.trouble if isinstance(self.trouble, _NOT_TRANSIENT) else None):
                        raise final from None
                    return None

            if not await poll(answers, seconds=seconds, pause=_PAUSE):
                raise self._no_answer(seconds)

    async def recovered(self) -> bool:
        """Return whether a connection has failed since `prove` was last called, after the registry answers again.

        Raises:
            ClusterError: the registry does not answer, as for `prove`.
        """
        if self.trouble is None:
            return False
        await self.prove()
        return True

    async def serve(self, local: LocalEnd) -> None:
        """Forward one accepted connection until either side ends it.

        A connection that fails is reset, so that a partial response is never taken for a whole one.
        """
        connection = Connection(local)
        self.connections.append(connection)
        try:
            if not self.is_open():
                raise self.broken or LeaseLostError(where=self.kube.where)
            await self._carry(connection)
        except KubeRegistryError as error:
            self._note(error)
            local.reset()
        except RefusedRequestError as refused:
            # Docker tries TLS before HTTP with every registry: only requests from web pages are logged as INFO.
            level = logging.INFO if refused.status == HTTPStatus.FORBIDDEN else logging.DEBUG
            _LOG.log(level, "%s: refused a request: %s", self.address, refused)
            await local.refuse(refused.answer)
        except asyncio.CancelledError:  # closed by `watch` or `break_off`
            if connection.cause:
                self._note(connection.cause)
            local.reset()
        finally:
            self.connections.remove(connection)
            self._ended += connection.traffic
            local.transport.close()

    def break_off(self, cause: KubeRegistryError) -> None:
        """Close all connections, and refuse new ones."""
        self.broken = cause
        for connection in self.connections:
            connection.cause = cause
            if connection.far:
                reset(connection.far.socket.transport)
            connection.local.task.cancel()

    async def end_connections(self) -> None:
        """Close all connections, and wait for their end."""
        await asyncio.sleep(0)  # a connection just accepted is listed once its task has started
        tasks = [connection.local.task for connection in self.connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, connection: Connection) -> None:
        local = connection.local
        # Read before dialling, so that a refused request does not open a WebSocket.
        if (first := await local.message()) is None:
            return
        if self._pod:  # a first failure is reported before anything else is asked
            self.dialling.set()
        door, may_pass = (WRITE_PORT, self.lease.held) if self.lease else (READ_PORT, lambda: True)
        async with dial(self.kube, self.port, self._note, door=door) as far:
            if far.tries > 1 or far.pod != (self._pod or far.pod):
                self.reconnects += 1
            self._pod, connection.far = far.pod, far
            try:
                await carry(local, far.socket, first=first, port=door, traffic=connection.traffic, may_pass=may_pass)
            except FramingError as error:
                raise TunnelProtocolError(where=self.kube.where, push_port=self.port, reason=str(error)) from error
            except NodeError as error:
                raise await self._explain_end(far.pod, str(error)) from error

    async def _explain_end(self, pod: str, words: str) -> TunnelError:
        """Return the error for a connection that the node ended: the pod is lost, or the node's message."""
        with suppress(KubeRegistryError):  # the node's message matters more
            pods = await registry_pods(self.kube.once)
            if is_lost(pod, pods):
                reason = f"{words}; {explain(pods)}"
                return PodGoneError(where=self.kube.where, push_port=self.port, pod=pod, reason=reason)
        return TunnelError(where=self.kube.where, push_port=self.port, reason=f"pod {pod}: {words}")

    def _no_answer(self, seconds: float) -> KubeRegistryError:
        return self.trouble or TunnelTimeoutError(
            where=self.kube.where,
            push_port=self.port,
            reason="the registry did not answer GET /v2/ with 200",
            seconds=seconds,
        )

    def _note(self, error: KubeRegistryError) -> None:
        self.trouble = error
        _LOG.info("%s", error)


@asynccontextmanager
async def open_tunnel(
    kube: KubeClient, port: int, lease: Lease | None, *, seconds: float = TUNNEL_SECONDS
) -> AsyncIterator[Tunnel]:
    """Open a tunnel on loopback and wait for the registry's answer; close it with all its connections at the end.

    Args:
        kube: client of the registry's cluster.
        port: the push port; 0 lets the system choose one, on 127.0.0.1 only.
        lease: the lease for the write door; None for a tunnel to the read door.
        seconds: how long the registry may take to answer through the tunnel.

    Raises:
        LeaseLostError: the lease is no longer held.
        PushPortBusyError: another program listens on the port.
        TunnelForbiddenError: a permission is missing.
        TunnelError: the registry did not answer through the tunnel.
    """
    tunnel = Tunnel(kube, port, lease)
    if lease:
        lease.when_lost(lambda: tunnel.break_off(LeaseLostError(where=kube.where)))
    try:
        sockets = bind(port)
    except OSError as error:
        kind = PushPortBusyError if error.errno == errno.EADDRINUSE else TunnelError
        raise kind(where=kube.where, push_port=port, reason=str(error.strerror)) from error
    tunnel.port = sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: LocalEnd(tunnel.serve), sock=each) for each in sockets]
    async with meanwhile(watch(kube, tunnel.port, tunnel.connections)), meanwhile(keep_spare(kube, tunnel.dialling)):
        try:
            await tunnel.prove(seconds)
            yield tunnel
        finally:
            for server in servers:
                server.close()
            await tunnel.end_connections()
