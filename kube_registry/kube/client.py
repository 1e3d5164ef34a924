"""The Kubernetes API of one cluster: asked with the stack's credentials, its failures told as ours.

Objects are plain JSON, because the few fields that are read here need no model classes. What is asked for, and what
the answer means, is up to the callers.
"""

import asyncio
import base64
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import aiohttp

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.kube.connection import Access, Shown, open_access
from kube_registry.kube.errors import CredentialsError, RefusedError, UnreachableError
from kube_registry.kube.retries import retrying
from kube_registry.kube.translate import REQUEST_SECONDS, refusal, seconds_of, translated, words_of
from kube_registry.spec.settings import ClusterAddress

logging.getLogger("kubernetes_asyncio").addHandler(logging.NullHandler())  # it logs what our errors say

CLOSE_SECONDS = 1.0
"""How long the end of a WebSocket is waited for."""

LARGEST_MESSAGE = 256 * 1024
"""Most bytes of one incoming WebSocket message; nodes send 32 KiB (protocol fact: Go's copy buffer)."""

FIELD_MANAGER = "kube-registry"
"""Who we are to the API server where we own fields of an object."""

APPLY_PATCH = "application/apply-patch+yaml"

T = TypeVar("T")


def _an_object(data: bytes) -> dict[str, Any]:
    found = read_json(data)
    if not isinstance(found, dict):
        raise ValueError("it answers no object")  # noqa: TRY004 - what it sends is wrong, not what we do
    return found


@dataclass(frozen=True)
class KubeClient:
    """Open connections to one API server; `open_client` makes it and closes it.

    Any method may also raise KubeconfigError, if credentials have expired and cannot be renewed. A request that fails
    in a way that passes by itself is sent again (retries.py), as is the upgrade to a WebSocket.

    Args:
        access: connections and credentials.
        ends: when requests are sent again no more, by time.monotonic(); None for PATIENCE_SECONDS after each begins.
    """

    access: Access
    ends: float | None = None

    def until(self, ends: float) -> Self:
        """Return the same client for a wait that ends then, by time.monotonic()."""
        return replace(self, ends=ends)

    @property
    def once(self) -> Self:
        """The same client for callers that try again themselves: every request is sent once."""
        return self.until(0.0)

    @property
    def where(self) -> Where:
        """The place that its errors name."""
        return self.access.where

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON object that a GET of an API path answers.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: an answer, but not the object.
        """
        found: dict[str, Any] = await self._send("GET", path, query=query)
        return found

    async def find(self, path: str) -> dict[str, Any] | None:
        """The JSON object at an API path; None if there is none.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: an answer, but not the object.
        """
        try:
            return await self.get(path)
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def text(self, path: str) -> str:
        """The text that a GET of an API path answers, where the API server passes on what another program says.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS.
            RefusedError: an answer, but not the text.
        """
        return str(await self._send("GET", path, read=bytes.decode))

    async def create(self, path: str, made: Mapping[str, Any], *, repeatable: bool = False) -> dict[str, Any]:
        """Create an object in the collection at an API path; what became of it.

        Args:
            path: of the collection.
            made: the object.
            repeatable: whether to send it again after an answer that was lost: either nothing is stored, or the caller
                takes status 409 as well as the object, because the first request may have created it.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: it may not be made.
        """
        created: dict[str, Any] = await self._send("POST", path, body=made, repeatable=repeatable)
        return created

    async def replace(self, path: str, made: Mapping[str, Any]) -> dict[str, Any]:
        """Put an object in the place of the one at an API path, of its resourceVersion if that is given; return it.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: it may not be; with status 409 if it is of another version by now.
        """
        stored: dict[str, Any] = await self._send("PUT", path, body=made)
        return stored

    async def apply(self, path: str, wanted: Mapping[str, Any]) -> None:
        """Make the object at an API path what is wanted, whether it is there or not (server-side apply).

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: it may not be made so.
        """
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        await self._send("PATCH", path, query=query, headers={"Content-Type": APPLY_PATCH}, body=wanted)

    async def delete(self, path: str) -> None:
        """Delete the object at an API path at once; one that is gone already is fine.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: it may not be deleted.
        """
        try:
            await self._send("DELETE", path, query={"gracePeriodSeconds": "0"})
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    @asynccontextmanager
    async def websocket(
        self, path: str, protocol: str, **query: str | Sequence[str]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket to an API path, closed at the end, within CLOSE_SECONDS even if the peer takes nothing more.

        No compression: frames are passed on as they come. No pings: a healthy connection with a slow reader would
        be closed for them.

        The upgrade is asked for again even where its answer was lost: a program that it has started in a pod must do no
        harm without its standard input.

        A refused upgrade says nothing but its status, so where a right is missing the same is asked once more in a
        way that lets the answer be read: it names the right.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS.
            RefusedError: the upgrade was refused.
        """

        async def upgrade(shown: Shown) -> aiohttp.ClientWebSocketResponse:
            return await self._upgrade(shown, path, protocol, query)

        try:
            again = retrying(self.ends, repeatable=True)
            socket: aiohttp.ClientWebSocketResponse = await again(self._ask, f"WebSocket {path}", upgrade)
        except RefusedError as refused:
            if refused.status == HTTPStatus.FORBIDDEN:
                with suppress(UnreachableError):
                    await self._explain(path, protocol, query, refused)
            raise
        try:
            yield socket
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await socket.close()

    async def _ask(self, request: str, send: Callable[[Shown], Awaitable[T]]) -> T:
        """Send a request; once more if its credentials are not accepted and there are others by now, as client-go."""
        shown = await self.access.current()
        try:
            with translated(self.where, request):
                return await send(shown)
        except CredentialsError:
            renewed = await self.access.after(shown)
            if renewed.credential == shown.credential:
                raise
        with translated(self.where, request):
            return await send(renewed)

    async def _explain(
        self, path: str, protocol: str, query: Mapping[str, str | Sequence[str]], refused: RefusedError
    ) -> None:
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
            send = self.once._send  # noqa: SLF001 - our own
            await send("GET", path, query=query, headers=upgrade, request=refused.request)
        except RefusedError as explained:
            if explained.status == refused.status:
                raise explained from refused

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        read: Callable[[bytes], Any] = _an_object,
        request: str = "",
        repeatable: bool = True,
    ) -> Any:  # noqa: ANN401 - whatever `read` makes of it
        async def send(shown: Shown) -> Any:  # noqa: ANN401 - likewise
            shown_headers = shown.headers
            shown_headers.update({"Content-Type": "application/json", **(headers or {})})
            answer = await shown.session.request(
                method,
                self._url(path, query or {}),
                headers=shown_headers,
                data=None if body is None else json.dumps(body),
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
                **shown.way,
            )
            data = await answer.read()
            if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                words = words_of(data) or answer.reason or "no reason given"
                retry_after = seconds_of(answer.headers.get("Retry-After", ""))
                raise refusal(self.where, sent, answer.status, words, retry_after)
            return read(data)

        sent = request or f"{method} {path}"
        return await retrying(self.ends, repeatable=repeatable)(self._ask, sent, send)

    async def _upgrade(
        self, shown: Shown, path: str, protocol: str, query: Mapping[str, str | Sequence[str]]
    ) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(REQUEST_SECONDS):
            socket: aiohttp.ClientWebSocketResponse = await shown.session.ws_connect(
                self._url(path, query),
                protocols=[protocol],
                headers=shown.headers,
                max_msg_size=LARGEST_MESSAGE,
                compress=0,
                **shown.way,
            )
            return socket

    def _url(self, path: str, query: Mapping[str, str | Sequence[str]]) -> str:
        return f"{self.where.cluster}{path}{'?' if query else ''}{urlencode(query, doseq=True)}"


@asynccontextmanager
async def open_client(settings: ClusterAddress) -> AsyncIterator[KubeClient]:
    """A client of the stack's cluster, closed at the end.

    Raises:
        KubeconfigError: the kubeconfig, its kube context or that one's credentials cannot be used.
    """
    async with open_access(settings) as access:
        yield KubeClient(access)
