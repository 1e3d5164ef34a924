"""The tunnel: a listener on this machine's loopback whose connections end at a door of the registry.

One WebSocket per TCP connection, so that a slow one does not hold up the others; the pod is chosen anew for each,
so that a restarted pod serves the next. Kubernetes RBAC on pods/portforward is the permission to write.

A tunnel to the write door takes a lease, and carries bytes only while that is held; without one it leads to the read
door, which refuses every write by itself.
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
from kube_registry.tunnel.connect import dial
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

_NO_WAITING_FIXES = (TunnelForbiddenError, CredentialsError, CertificateError, KubeconfigError)
_PAUSE = 0.2
_LOG = logging.getLogger("kube_registry.tunnel")


@dataclass
class Tunnel:
    """An open tunnel; `open_tunnel` makes it and closes it.

    Args:
        kube: client of the cluster that it leads to.
        port: the push port that it listens on, at 127.0.0.1 and [::1].
        lease: under which it leads to the write door; None if it leads to the read door.
        reconnects: connections that found another pod than the one before, or a pod only after they were refused.
        trouble: what went wrong last since the registry was last asked to prove itself.
        broken: why it carries nothing any more.
        connections: those that are open.
    """

    kube: KubeClient
    port: int
    lease: Lease | None
    reconnects: int = 0
    trouble: KubeRegistryError | None = None
    broken: KubeRegistryError | None = None
    connections: list[Connection] = field(default_factory=list)
    _ended: Traffic = field(default_factory=Traffic)
    _pod: str | None = None

    @property
    def address(self) -> str:
        """Where it listens in any case."""
        return f"127.0.0.1:{self.port}"

    def is_open(self) -> bool:
        """Return whether it still carries bytes: it was not broken off, and its lease is held at this moment."""
        return (self.lease is None or self.lease.held()) and self.broken is None

    @property
    def traffic(self) -> Traffic:
        """Bytes that all its connections have carried, ended ones too."""
        return sum((each.traffic for each in self.connections), self._ended)

    async def prove(self, seconds: float = TUNNEL_SECONDS) -> None:
        """Return once the registry has answered GET /v2/ with 200 through this tunnel.

        Raises:
            ClusterError: a right is missing, credentials or certificate are not accepted, or it is broken off; no
                waiting mends that.
            TunnelError: it did not within `seconds`; with the last real cause.
        """
        self.trouble = None
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as session:

            async def answers() -> bool | None:
                try:
                    async with session.get(f"http://{self.address}/v2/") as answer:
                        return answer.status == HTTPStatus.OK or None
                except (aiohttp.ClientError, TimeoutError):
                    if self.broken:
                        raise self.broken from None
                    if isinstance(self.trouble, _NO_WAITING_FIXES):
                        raise self.trouble from None
                    return None

            if not await poll(answers, seconds=seconds, pause=_PAUSE):
                raise self._no_answer(seconds)

    async def recovered(self) -> bool:
        """Return whether a connection has failed since `prove` began, once the registry answers again.

        Raises:
            ClusterError: it does not, as for `prove`.
        """
        if self.trouble is None:
            return False
        await self.prove()
        return True

    async def serve(self, local: LocalEnd) -> None:
        """Carry one accepted connection to the door and back until either side ends it.

        One that fails is reset, so that half an answer is never taken for a whole one.
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
            # Docker tries TLS before HTTP at every registry: only what a web page may have sent is worth a line.
            level = logging.INFO if refused.status == HTTPStatus.FORBIDDEN else logging.DEBUG
            _LOG.log(level, "%s: refused a request: %s", self.address, refused)
            await local.refuse(refused.answer)
        except asyncio.CancelledError:  # cut
            if connection.cause:
                self._note(connection.cause)
            local.reset()
        finally:
            self.connections.remove(connection)
            self._ended += connection.traffic
            local.transport.close()

    def break_off(self, cause: KubeRegistryError) -> None:
        """Cut all connections, and carry nothing any more."""
        self.broken = cause
        for connection in self.connections:
            connection.cause = cause
            if connection.far:
                reset(connection.far.socket.transport)
            connection.local.task.cancel()

    async def end_connections(self) -> None:
        """Cut what is still open and wait until it is gone."""
        await asyncio.sleep(0)  # one that was accepted just now is known once its task has begun
        tasks = [connection.local.task for connection in self.connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, connection: Connection) -> None:
        local = connection.local
        if (first := await local.message()) is None:  # before the pod is asked for: a refused request costs it nothing
            return
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
        """What the end of a connection means: the pod is gone, or what the node said of it."""
        with suppress(KubeRegistryError):  # what the node said is what counts
            pods = await registry_pods(self.kube.once)
            if is_lost(pod, pods):
                return PodGoneError(
                    where=self.kube.where, push_port=self.port, pod=pod, reason=f"{words}; {explain(pods)}"
                )
        return TunnelError(where=self.kube.where, push_port=self.port, reason=f"pod {pod}: {words}")

    def _no_answer(self, seconds: float) -> KubeRegistryError:
        return self.trouble or TunnelTimeoutError(
            where=self.kube.where,
            push_port=self.port,
            reason="the registry does not answer GET /v2/ with 200",
            seconds=seconds,
        )

    def _note(self, error: KubeRegistryError) -> None:
        self.trouble = error
        _LOG.info("%s", error)


@asynccontextmanager
async def open_tunnel(
    kube: KubeClient, port: int, lease: Lease | None, *, seconds: float = TUNNEL_SECONDS
) -> AsyncIterator[Tunnel]:
    """Open a tunnel on loopback whose registry has answered; closed at the end with all its connections.

    Args:
        kube: client of the registry's cluster.
        port: the push port; 0 lets the system choose one, at 127.0.0.1 only.
        lease: the lease under which it leads to the write door; None for a tunnel to the read door.
        seconds: how long the registry may take to answer through it.

    Raises:
        LeaseLostError: the lease is not held any more.
        PushPortBusyError: another program listens there.
        TunnelForbiddenError: a right is missing.
        TunnelError: the registry did not answer through it.
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
    async with meanwhile(watch(kube, tunnel.port, tunnel.connections)):
        try:
            await tunnel.prove(seconds)
            yield tunnel
        finally:
            for server in servers:
                server.close()
            await tunnel.end_connections()
