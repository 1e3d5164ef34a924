"""WebSockets to the Kubernetes API, for a port of a pod or a process in it."""

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from kube_registry.kube.client import KubeClient, Query
from kube_registry.kube.connection import Session
from kube_registry.kube.errors import RefusedError, UnreachableError, UpgradeError
from kube_registry.kube.transport import WebSocket

CLOSE_SECONDS = 1.0
"""How long to wait for a WebSocket to close."""

LARGEST_MESSAGE = 256 * 1024
"""Maximum bytes of one incoming WebSocket message; nodes send 32 KiB (protocol fact: Go's copy buffer)."""

_EXPLAINED = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UPGRADE_REQUIRED)
"""Statuses of a refused upgrade with which the reason is in the body."""

_WITHOUT_REASON = re.compile(r"is forbidden:\s*$")
"""The end of the API server's message if it does not say which permission is missing."""

_PROTOCOL_MESSAGE = re.compile("upgrade|protocol|websocket", re.IGNORECASE)


@asynccontextmanager
async def open_websocket(
    kube: KubeClient, path: str, protocol: str, **query: str | Sequence[str]
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket to an API path, and close it at the end, within CLOSE_SECONDS even if the peer is stalled.

    Compression is off, because frames are passed on unchanged. Pings are off, because they would close a healthy
    connection with a slow reader.

    The upgrade is retried even if its response was lost: a process that it has started in a pod must do no harm without
    its standard input.

    aiohttp reports only the status of a refused upgrade. With some statuses the request is repeated in plain HTTP,
    whose response names the missing permission or another reason.

    Raises:
        UnreachableError: no response within REQUEST_SECONDS.
        UpgradeError: the answer was no WebSocket, or one with another subprotocol.
        RefusedError: the upgrade was refused for another reason.
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
        error = refused
        if refused.status in _EXPLAINED:
            with suppress(UnreachableError):
                error = await _explained(kube, path, protocol, query, refused)
        if reason := _protocol_reason(error, protocol):
            error = UpgradeError(where=kube.where, request=error.request, status=error.status, reason=reason)
        if error is not refused:
            raise error from refused
        raise
    try:
        if socket.protocol != protocol:
            reason = f"the answer has subprotocol {socket.answered} instead of {protocol}"
            status = HTTPStatus.SWITCHING_PROTOCOLS
            raise UpgradeError(where=kube.where, request=f"WebSocket {path}", status=status, reason=reason)
        yield socket
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()


async def _explained(kube: KubeClient, path: str, protocol: str, query: Query, refused: RefusedError) -> RefusedError:
    """Repeat an upgrade in plain HTTP, and return the error with the reason that its response gives.

    The request needs the headers of an upgrade: for a plain GET the API server checks other permissions (protocol
    fact 6). From Kubernetes 1.35 on, it also checks `create`, and gives no reason if that is missing
    (AuthorizePodWebsocketUpgradeCreatePermission). A POST is checked for `create` alone, and starts nothing without the
    headers of an upgrade.
    """
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": protocol,
    }
    explained = refused
    for method, headers in (("GET", upgrade), ("POST", {})):
        try:
            await kube.once.send(bytes, method, path, query=query, headers=headers, request=refused.request)
        except RefusedError as error:
            if error.status == refused.status:
                explained = error
        if not _WITHOUT_REASON.search(explained.reason):
            break
    return explained


def _protocol_reason(error: RefusedError, protocol: str) -> str:
    """Return the reason of a refused upgrade if it is the protocol, else an empty string.

    A node refuses an unknown protocol with 403 and no message (protocol fact 5). A server or proxy that does not pass
    WebSockets answers 400, often without a message of Kubernetes, or with a page of its own.
    """
    if HTTPStatus.CONTINUE <= error.status < HTTPStatus.BAD_REQUEST:
        return f"the answer was {error.status}"
    if type(error) is not RefusedError or error.status not in _EXPLAINED:
        return ""
    no_message = error.reason == HTTPStatus(error.status).phrase
    if no_message and error.status == HTTPStatus.FORBIDDEN:
        return f"the node refused {protocol}"
    if no_message or _PROTOCOL_MESSAGE.search(error.reason):
        return f"the answer was {error.status} {error.reason}"
    return ""
