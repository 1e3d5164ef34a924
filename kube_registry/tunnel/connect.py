"""The far end of one connection: a registry pod that is Ready, and a WebSocket to one of its doors.

A registry that is being replaced is waited for, and a refusal that may pass is tried again; what no waiting mends
is an error at once.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from kube_registry.concurrency import poll
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import CertificateError, ForbiddenError, RefusedError, UnreachableError
from kube_registry.kube.pods import choose, explain, registry_pods
from kube_registry.kube.retries import retried
from kube_registry.kube.transport import WebSocket
from kube_registry.kube.websocket import open_websocket
from kube_registry.names import WRITE_PORT
from kube_registry.tunnel.errors import TunnelError, TunnelForbiddenError, TunnelProtocolError, TunnelTimeoutError
from kube_registry.tunnel.frames import PROTOCOL

DIAL_TRIES = 6
"""How often one connection asks for its WebSocket."""

DIAL_SECONDS = 45.0
"""How long one connection may take to reach a pod, tries and pauses included: a replaced registry is back before."""

_PAUSE = 0.2
_PASSES_BY_ITSELF = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals that speak of a pod just gone or a busy API server; all of 500 and above do too."""


@dataclass(frozen=True)
class PodConnection:
    """An open connection to a pod.

    Args:
        pod: its name.
        socket: the WebSocket to its door.
        tries: how often it was asked for.
    """

    pod: str
    socket: WebSocket
    tries: int


@asynccontextmanager
async def dial(
    kube: KubeClient, push_port: int, heard: Callable[[KubeRegistryError], None], *, door: int = WRITE_PORT
) -> AsyncIterator[PodConnection]:
    """A connection to the registry's pod, closed at the end.

    Args:
        kube: client of the registry's cluster.
        push_port: the port on this machine that it is for, named in errors.
        heard: is told of each cause of waiting or of trying again.
        door: the pod's port.

    Raises:
        TunnelForbiddenError: a right is missing.
        TunnelProtocolError: the node does not speak v4.channel.k8s.io.
        TunnelTimeoutError: no pod within DIAL_SECONDS; with the last cause.
        ClusterError: the API server does not answer, or refused, DIAL_TRIES times.
    """
    dialler = _Dialler(kube, push_port, heard, door)
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
        except RefusedError as error:
            if _refuses_protocol(error):
                raise TunnelProtocolError(
                    where=kube.where, push_port=push_port, reason=f"the node refuses {PROTOCOL}"
                ) from error
            raise
        yield connection


@dataclass
class _Dialler:
    """One connection's search for its far end, and the last thing that kept it."""

    kube: KubeClient
    push_port: int
    heard: Callable[[KubeRegistryError], None]
    door: int
    cause: str = "the API server does not answer"
    tries: int = 0

    async def dial(self, opened: AsyncExitStack) -> PodConnection:
        return await retried(
            partial(self._dial_once, opened),
            self._patience,
            ends=math.inf,  # the caller sets the bound
            heard=self._note,
        )

    async def _dial_once(self, opened: AsyncExitStack) -> PodConnection:
        self.tries += 1
        pod = await poll(self._ready_pod, seconds=DIAL_SECONDS, pause=_PAUSE)
        path = self.kube.path("pods", f"{pod}/portforward")
        socket = await opened.enter_async_context(open_websocket(self.kube.once, path, PROTOCOL, ports=str(self.door)))
        return PodConnection(str(pod), socket, self.tries)

    def _patience(self, error: KubeRegistryError, bound: float) -> float:
        if isinstance(error, RefusedError):
            passes = error.status in _PASSES_BY_ITSELF or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else:
            passes = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
        return bound if passes and self.tries < DIAL_TRIES else 0.0

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
        self.heard(error)


def _refuses_protocol(error: RefusedError) -> bool:
    """Whether it is the node that refused; it says no word, and whoever refuses by a rule does (protocol fact 5)."""
    silent = error.reason == HTTPStatus.FORBIDDEN.phrase
    return error.status == HTTPStatus.FORBIDDEN and silent and error.request.startswith("WebSocket ")
