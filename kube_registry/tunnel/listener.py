"""The tunnel: a listener on this machine's loopback whose connections end at a door of the registry.

One WebSocket per TCP connection, so that a slow one does not hold up the others; the pod is chosen anew for each,
so that a restarted pod serves the next. Kubernetes RBAC on pods/portforward is the permission to write.

A tunnel to the write door takes a lease, and carries bytes only while that is held; without one it leads to the read
door, which refuses every write by itself.
"""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from kube_registry.concurrency import poll
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import CertificateError, CredentialsError, KubeconfigError, UnreachableError
from kube_registry.kube.pods import explain, is_lost, registry_pods
from kube_registry.lease.errors import LeaseLostError
from kube_registry.lease.lease import Lease
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
from kube_registry.tunnel.forward import NodeError, Traffic, carry, cut
from kube_registry.tunnel.frames import FramingError
from kube_registry.tunnel.http_head import RefusedRequestError
from kube_registry.tunnel.local_end import NearEnd
from kube_registry.tunnel.loopback import bind

WATCH_SECONDS = 10.0
"""How often connections that carry nothing are looked after."""

STRIKES = 2
"""How many looks in a row must find the pod gone or the API server silent before a connection is cut."""

_NO_WAITING_MENDS = (TunnelForbiddenError, CredentialsError, CertificateError, KubeconfigError)
_PAUSE = 0.2
_LOG = logging.getLogger("kube_registry.tunnel")


@dataclass
class _Link:
    """One accepted connection and what has become of it."""

    task: asyncio.Task[None]
    traffic: Traffic = field(default_factory=Traffic)
    pod: str | None = None
    socket: aiohttp.ClientWebSocketResponse | None = None
    strikes: int = 0
    cause: KubeRegistryError | None = None


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
    """

    kube: KubeClient
    port: int
    lease: Lease | None
    reconnects: int = 0
    trouble: KubeRegistryError | None = None
    broken: KubeRegistryError | None = None
    _links: list[_Link] = field(default_factory=list)
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
        carried = [self._ended, *(link.traffic for link in self._links)]
        return Traffic(sum(each.sent for each in carried), sum(each.received for each in carried))

    async def prove(self, seconds: float) -> None:
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
                    if isinstance(self.trouble, _NO_WAITING_MENDS):
                        raise self.trouble from None
                    return None

            if not await poll(answers, seconds=seconds, pause=_PAUSE):
                raise self._no_answer(seconds)

    async def recovered(self, seconds: float) -> bool:
        """Return whether a connection has failed since `prove` began, once the registry answers again.

        Raises:
            ClusterError: it does not, as for `prove`.
        """
        if self.trouble is None:
            return False
        await self.prove(seconds)
        return True

    async def serve(self, near: NearEnd) -> None:
        """Carry one accepted connection to the door and back until either side ends it.

        One that fails is reset, so that half an answer is never taken for a whole one.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs every connection in a task of its own
        link = _Link(task)
        self._links.append(link)
        try:
            if not self.is_open():
                raise self.broken or LeaseLostError(where=self.kube.where)
            await self._carry(link, near)
        except KubeRegistryError as error:
            self._note(error)
            near.reset()
        except RefusedRequestError as refused:
            # Docker tries TLS before HTTP at every registry: only what a web page may have sent is worth a line.
            level = logging.INFO if refused.status == HTTPStatus.FORBIDDEN else logging.DEBUG
            _LOG.log(level, "%s: refused a request: %s", self.address, refused)
            await near.refuse(refused.answer)
        except asyncio.CancelledError:  # cut
            if link.cause:
                self._note(link.cause)
            near.reset()
        finally:
            self._links.remove(link)
            self._ended.sent += link.traffic.sent
            self._ended.received += link.traffic.received
            near.transport.close()

    async def watch(self) -> None:
        """Cut, for ever, what would hang for ever.

        No pings go through a connection that carries data, so a dead node or API server is noticed from outside:
        where nothing has moved, the API server is asked whether the pod is still there.
        """
        while True:
            before = {id(link): (link.traffic.sent, link.traffic.received) for link in self._links}
            await asyncio.sleep(WATCH_SECONDS)
            still = [
                link
                for link in self._links
                if link.pod and before.get(id(link)) == (link.traffic.sent, link.traffic.received)
            ]
            if still:
                await self._look_after(still)

    def break_off(self, cause: KubeRegistryError) -> None:
        """Cut all connections, and carry nothing any more."""
        self.broken = cause
        for link in self._links:
            link.cause = cause
            if link.socket:
                cut(link.socket)
            link.task.cancel()

    async def end_connections(self) -> None:
        """Cut what is still open and wait until it is gone."""
        await asyncio.sleep(0)  # one that was accepted just now is known once its task has begun
        tasks = [link.task for link in self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_after(self, still: list[_Link]) -> None:
        """Count against each connection what would keep it still for ever; cut it when that is no passing thing."""
        causes: dict[str, KubeRegistryError]
        try:
            pods = await registry_pods(self.kube.once)
        except UnreachableError as error:
            causes = dict.fromkeys((str(link.pod) for link in still), error)
        except KubeRegistryError:
            return
        else:
            gone = {pod for link in still if is_lost(pod := str(link.pod), pods)}
            causes = {pod: self._gone(pod, explain(pods)) for pod in gone}
        for link in still:
            link.cause = causes.get(str(link.pod))
            link.strikes = link.strikes + 1 if link.cause else 0
            if link.strikes >= STRIKES:
                link.task.cancel()

    async def _carry(self, link: _Link, near: NearEnd) -> None:
        if (first := await near.message()) is None:  # before the pod is asked for: a refused request costs it nothing
            return
        door, may_pass = (WRITE_PORT, self.lease.held) if self.lease else (READ_PORT, lambda: True)
        async with dial(self.kube, self.port, self._note, door=door) as line:
            if line.tries > 1 or line.pod != (self._pod or line.pod):
                self.reconnects += 1
            self._pod = link.pod = line.pod
            link.socket = line.socket
            try:
                await carry(near, line.socket, first=first, port=door, traffic=link.traffic, may_pass=may_pass)
            except FramingError as error:
                raise TunnelProtocolError(where=self.kube.where, push_port=self.port, reason=str(error)) from error
            except NodeError as error:
                raise await self._explain_end(line.pod, str(error)) from error

    async def _explain_end(self, pod: str, words: str) -> TunnelError:
        """What the end of a connection means: the pod is gone, or what the node said of it."""
        with suppress(KubeRegistryError):  # what the node said is what counts
            pods = await registry_pods(self.kube.once)
            if is_lost(pod, pods):
                return self._gone(pod, f"{words}; {explain(pods)}")
        return TunnelError(where=self.kube.where, push_port=self.port, reason=f"pod {pod}: {words}")

    def _no_answer(self, seconds: float) -> KubeRegistryError:
        reason = "the registry does not answer GET /v2/ with 200"
        return self.trouble or TunnelTimeoutError(
            where=self.kube.where, push_port=self.port, reason=reason, seconds=seconds
        )

    def _gone(self, pod: str, reason: str) -> PodGoneError:
        return PodGoneError(where=self.kube.where, push_port=self.port, pod=pod, reason=reason)

    def _note(self, error: KubeRegistryError) -> None:
        self.trouble = error
        _LOG.info("%s", error)


@asynccontextmanager
async def open_tunnel(kube: KubeClient, port: int, lease: Lease | None, *, seconds: float) -> AsyncIterator[Tunnel]:
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
    servers = [await loop.create_server(lambda: NearEnd(tunnel.serve), sock=each) for each in sockets]
    async with _meanwhile(tunnel.watch()):
        try:
            await tunnel.prove(seconds)
            yield tunnel
        finally:
            for server in servers:
                server.close()
            await tunnel.end_connections()


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Let something go on until the end. No TaskGroup: a tunnel may be closed by another task than opened it."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
