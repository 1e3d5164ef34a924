"""A WebSocket to the Kubernetes API: a port of a pod, or a process in it."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from kube_registry.kube.client import KubeClient, Query
from kube_registry.kube.connection import Session
from kube_registry.kube.errors import RefusedError, UnreachableError
from kube_registry.kube.transport import WebSocket

CLOSE_SECONDS = 1.0
"""How long the end of a WebSocket is waited for."""

LARGEST_MESSAGE = 256 * 1024
"""Most bytes of one incoming WebSocket message; nodes send 32 KiB (protocol fact: Go's copy buffer)."""


@asynccontextmanager
async def open_websocket(
    kube: KubeClient, path: str, protocol: str, **query: str | Sequence[str]
) -> AsyncIterator[WebSocket]:
    """A WebSocket to an API path, closed at the end, within CLOSE_SECONDS even if the peer takes nothing more.

    No compression: frames are passed on as they come. No pings: a healthy connection with a slow reader would be closed
    for them.

    The upgrade is asked for again even where its answer was lost: a process that it has started in a pod must do no
    harm without its standard input.

    A refused upgrade says nothing but its status, so where a right is missing the same is asked once more in a way that
    lets the answer be read: it names the right.

    Raises:
        UnreachableError: no answer within REQUEST_SECONDS.
        RefusedError: the upgrade was refused.
    """

    async def upgrade(session: Session) -> WebSocket:
        connected: WebSocket = await session.pool.ws_connect(
            kube.url(path, query),
            protocols=[protocol],
            headers=session.headers,
            max_msg_size=LARGEST_MESSAGE,
            compress=0,
            **session.way,
        )
        return connected

    try:
        socket = await kube.ask(f"WebSocket {path}", upgrade, repeatable=True)
    except RefusedError as refused:
        if refused.status == HTTPStatus.FORBIDDEN:
            with suppress(UnreachableError):
                await _explain(kube, path, protocol, query, refused)
        raise
    try:
        yield socket
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()


async def _explain(kube: KubeClient, path: str, protocol: str, query: Query, refused: RefusedError) -> None:
    """Ask for an upgrade in plain HTTP, to read why it is refused.

    It has to look like one: the API server asks for other rights than it does for a GET (protocol fact 6).
    """
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": protocol,
    }
    try:
        await kube.once.send(bytes, "GET", path, query=query, headers=upgrade, request=refused.request)
    except RefusedError as explained:
        if explained.status == refused.status:
            raise explained from refused
