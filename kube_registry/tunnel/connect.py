"""Connect to a Ready pod of the registry, by a WebSocket to one of its ports.

A connection waits while the registry's pod is being replaced, and retries transient refusals. Other failures are raised
at once.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from kube_registry.concurrency import poll, together
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import CertificateError, ForbiddenError, RefusedError, UnreachableError, UpgradeError
from kube_registry.kube.pods import choose, explain, registry_pods
from kube_registry.kube.retries import retried
from kube_registry.kube.transport import WebSocket
from kube_registry.kube.websocket import open_websocket
from kube_registry.names import WRITE_PORT
from kube_registry.tunnel.errors import TunnelError, TunnelForbiddenError, TunnelProtocolError, TunnelTimeoutError
from kube_registry.tunnel.frames import PROTOCOL

DIAL_TRIES = 6
"""Attempts of one connection to open its WebSocket."""

DIAL_SECONDS = 45.0
"""How long one connection may take to reach a pod, with all attempts and pauses; replacing the pod takes less."""

SPARE = 2
"""Open connections to the API server that wait for a WebSocket; one is not there again before the next request."""

_PAUSE = 0.2
_TRANSIENT = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
"""Transient refusals: the pod was just deleted, or the API server is busy. All statuses from 500 are transient too."""


@dataclass(frozen=True)
class PodConnection:
    """An open connection to a pod.

    Args:
        pod: name of the pod.
        socket: the WebSocket to the pod's port.
        tries: attempts that it took to open it.
    """

    pod: str
    socket: WebSocket
    tries: int


@asynccontextmanager
async def dial(
    kube: KubeClient, push_port: int, on_retry: Callable[[KubeRegistryError], None], *, door: int = WRITE_PORT
) -> AsyncIterator[PodConnection]:
    """Open a connection to the registry's pod, and close it at the end.

    Args:
        kube: client of the registry's cluster.
        push_port: the local port that the connection serves, for errors.
        on_retry: is called with each reason to wait or retry.
        door: the pod's port.

    Raises:
        TunnelForbiddenError: a permission is missing.
        TunnelProtocolError: no WebSocket with v4.channel.k8s.io was opened.
        TunnelTimeoutError: no pod was reached within DIAL_SECONDS; has the last cause.
        ClusterError: the API server did not respond, or refused, DIAL_TRIES times.
    """
    dialler = _Dialler(kube, push_port, on_retry, door)
    async with AsyncExitStack() as opened:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                connection = await dialler.dial(opened)
        except TimeoutError:
            raise TunnelTimeoutError(
                where=kube.where, push_port=push_port, reason=dialler.cause, seconds=DIAL_SECONDS
            ) from None
        except ForbiddenError as error:
            raise TunnelForbiddenError(**vars(error), push_port=push_port) from error
        except UpgradeError as error:
            raise TunnelProtocolError(where=kube.where, push_port=push_port, reason=error.reason) from error
        yield connection


async def keep_spare(kube: KubeClient, dialling: asyncio.Event) -> None:
    """Keep SPARE open connections to the API server for the next WebSockets, until cancelled.

    Docker opens a new connection for every request, and a WebSocket takes its connection out of the pool for good. So
    without a spare one, each request of a push would first wait for the handshakes of TCP and TLS: two round trips.

    Args:
        kube: client of the registry's cluster.
        dialling: is set whenever a WebSocket is about to be opened.
    """
    while True:
        await dialling.wait()
        dialling.clear()
        async with together() as requests:
            for _ in range(SPARE):
                requests.create_task(_open_spare(kube))


async def _open_spare(kube: KubeClient) -> None:
    """Send a request, whose connection then stays open; at the same time as others, each needs its own."""
    with suppress(KubeRegistryError):  # the next WebSocket reports it
        await registry_pods(kube.once)


@dataclass
class _Dialler:
    """The attempts of one connection to reach a pod, and the last reason for a failure."""

    kube: KubeClient
    push_port: int
    on_retry: Callable[[KubeRegistryError], None]
    door: int
    cause: str = "the API server is not responding"
    tries: int = 0

    async def dial(self, opened: AsyncExitStack) -> PodConnection:
        return await retried(
            partial(self._dial_once, opened),
            self._patience,
            ends=math.inf,  # the caller sets the bound
            on_retry=self._note,
        )

    async def _dial_once(self, opened: AsyncExitStack) -> PodConnection:
        self.tries += 1
        pod = await poll(self._ready_pod, seconds=DIAL_SECONDS, pause=_PAUSE)
        path = self.kube.path("pods", f"{pod}/portforward")
        socket = await opened.enter_async_context(open_websocket(self.kube.once, path, PROTOCOL, ports=str(self.door)))
        return PodConnection(str(pod), socket, self.tries)

    def _patience(self, error: KubeRegistryError, bound: float) -> float:
        if isinstance(error, RefusedError):
            transient = error.status in _TRANSIENT or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else:
            transient = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
        return bound if transient and self.tries < DIAL_TRIES else 0.0

    async def _ready_pod(self) -> str | None:
        pods = await registry_pods(self.kube.once)
        pod = choose(pods)
        if pod is None:
            self._note(TunnelError(where=self.kube.where, push_port=self.push_port, reason=explain(pods)))
        return pod

    def _note(self, error: KubeRegistryError) -> None:
        self.cause = getattr(error, "reason", str(error))
        if isinstance(error, RefusedError):
            self.cause = f"{error.request} was refused with status {error.status}: {error.reason}"
        self.on_retry(error)
