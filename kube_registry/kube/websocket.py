"""WebSockets to the Kubernetes API, for a port of a pod or a process in it."""

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
"""How long to wait for a WebSocket to close."""

LARGEST_MESSAGE = 256 * 1024
"""Maximum bytes of one incoming WebSocket message; nodes send 32 KiB (protocol fact: Go's copy buffer)."""


@asynccontextmanager
async def open_websocket(
    kube: KubeClient, path: str, protocol: str, **query: str | Sequence[str]
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket to an API path, and close it at the end, within CLOSE_SECONDS even if the peer is stalled.

    Compression is off, because frames are passed on unchanged. Pings are off, because they would close a healthy
    connection with a slow reader.

    The upgrade is retried even if its response was lost: a process that it has started in a pod must do no harm without
    its standard input.

    aiohttp reports only the status of a refused upgrade. If a permission is missing, the request is repeated in plain
    HTTP, whose response names the permission.

    Raises:
        UnreachableError: no response within REQUEST_SECONDS.
        RefusedError: the upgrade was refused.
    """

    async def upgrade(session: Session) -> WebSocket:
        connected: WebSocket = await session.pool.ws_connect(
            kube.url(path, query),
            protocols=[protocol],
            headers=session.headers,
            max_msg_size=LARGEST_MESSAGE,
            compress=0,
            **session.route,
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
    """Repeat an upgrade in plain HTTP, to read why it is refused.

    The request needs the headers of an upgrade: for a plain GET the API server checks other permissions (protocol
    fact 6).
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
