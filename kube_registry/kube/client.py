"""The Kubernetes API of one cluster: asked with the stack's credentials, its failures told as ours.

Objects are plain JSON, because the few fields that are read here need no model classes. What is asked for, and what
the answer means, is up to the callers.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.kube.connection import Access, Session, open_access
from kube_registry.kube.errors import CredentialsError, RefusedError
from kube_registry.kube.retries import kube_patience, retried
from kube_registry.kube.translate import refusal, translated, words_of
from kube_registry.spec.settings import ClusterAddress

Query = Mapping[str, str | Sequence[str]]

logging.getLogger("kubernetes_asyncio").addHandler(logging.NullHandler())  # it logs what our errors say

_APPLY = {"fieldManager": "kube-registry", "force": "true"}
"""Who we are to the API server where we own fields of an object, and that we take them from others."""

_APPLY_PATCH = {"Content-Type": "application/apply-patch+yaml"}

T = TypeVar("T")


def _an_object(data: bytes) -> dict[str, Any]:
    found = read_json(data)
    if not isinstance(found, dict):
        raise ValueError("it answers no object")  # noqa: TRY004 - what it sends is wrong, not what we do
    return found


@dataclass(frozen=True)
class KubeClient:
    """Open connections to one API server; `open_client` makes it and closes it.

    Any method may also raise UnreachableError, if there is no answer within REQUEST_SECONDS or one that no API server
    gives, and KubeconfigError, if credentials have expired and cannot be renewed. A request that fails in a way that
    passes by itself is sent again (retries.py), as is the upgrade to a WebSocket.

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

    def path(self, kind: str, name: str = "", *, group: str = "", namespace: str = "") -> str:
        """Return the API path of all objects of a kind in a namespace, or of one of them.

        Args:
            kind: in the plural.
            name: the object's, with what follows it in the path; empty for all.
            group: API group and version; empty for core/v1.
            namespace: the registry's if empty.
        """
        api = f"/apis/{group}" if group else "/api/v1"
        return f"{api}/namespaces/{namespace or self.where.namespace}/{kind}{f'/{name}' if name else ''}"

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON object that a GET of an API path answers.

        Raises:
            RefusedError: an answer, but not the object.
        """
        return await self.send(_an_object, "GET", path, query=query)

    async def find(self, path: str) -> dict[str, Any] | None:
        """The JSON object at an API path; None if there is none.

        Raises:
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
            RefusedError: an answer, but not the text.
        """
        return await self.send(bytes.decode, "GET", path)

    async def create(self, path: str, made: Mapping[str, Any], *, repeatable: bool = False) -> dict[str, Any]:
        """Create an object in the collection at an API path; what became of it.

        Args:
            path: of the collection.
            made: the object.
            repeatable: whether to send it again after an answer that was lost: either nothing is stored, or the caller
                takes status 409 as well as the object, because the first request may have created it.

        Raises:
            RefusedError: it may not be made.
        """
        return await self.send(_an_object, "POST", path, body=made, repeatable=repeatable)

    async def replace(self, path: str, made: Mapping[str, Any]) -> dict[str, Any]:
        """Put an object in the place of the one at an API path, of its resourceVersion if that is given; return it.

        Raises:
            RefusedError: it may not be; with status 409 if it is of another version by now.
        """
        return await self.send(_an_object, "PUT", path, body=made)

    async def apply(self, path: str, wanted: Mapping[str, Any]) -> None:
        """Make the object at an API path what is wanted, whether it is there or not (server-side apply).

        Raises:
            RefusedError: it may not be made so.
        """
        await self.send(_an_object, "PATCH", path, query=_APPLY, headers=_APPLY_PATCH, body=wanted)

    async def delete(self, path: str) -> None:
        """Delete the object at an API path at once; one that is gone already is fine.

        Raises:
            RefusedError: it may not be deleted.
        """
        try:
            await self.send(_an_object, "DELETE", path, query={"gracePeriodSeconds": "0"})
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    async def send(
        self,
        read: Callable[[bytes], T],
        method: str,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        request: str = "",
        repeatable: bool = True,
    ) -> T:
        """Send a request, and return what `read` makes of its answer.

        Args:
            read: raises ValueError where no API server has written the answer.
            method: of HTTP.
            path: of the API.
            query: parameters.
            headers: besides those that say who asks.
            body: a JSON object.
            request: what errors call it; method and path if empty.
            repeatable: whether it does no harm if it is carried out twice.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: an answer with a status other than 2xx.
        """

        async def send(session: Session) -> T:
            answer = await session.pool.request(
                method,
                self.url(path, query or {}),
                headers={**session.headers, "Content-Type": "application/json", **(headers or {})},
                data=None if body is None else json.dumps(body),
                **session.way,
            )
            content = await answer.read()
            if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                words = words_of(content) or answer.reason or "no reason given"
                raise refusal(self.where, sent, answer.status, words, answer.headers)
            return read(content)

        sent = request or f"{method} {path}"
        return await self.ask(sent, send, repeatable=repeatable)

    async def ask(self, request: str, send: Callable[[Session], Awaitable[T]], *, repeatable: bool) -> T:
        """Have something sent, again while its failures pass by themselves.

        Args:
            request: what errors call it.
            send: sends it by a session, and returns what comes of it.
            repeatable: whether it does no harm if it is carried out twice.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS, or one that no API server gives.
            RefusedError: it was refused.
        """
        return await retried(
            partial(self._ask_once, request, send), partial(kube_patience, repeatable=repeatable), ends=self.ends
        )

    async def _ask_once(self, request: str, send: Callable[[Session], Awaitable[T]]) -> T:
        """Send a request; once more if its credentials are not accepted and there are others by now, as client-go."""
        session = await self.access.session()
        try:
            async with translated(self.where, request):
                return await send(session)
        except CredentialsError:
            renewed = await self.access.session(refused=session)
            if renewed.credential == session.credential:
                raise
        async with translated(self.where, request):
            return await send(renewed)

    def url(self, path: str, query: Query) -> str:
        """Return the URL of an API path."""
        return f"{self.where.cluster}{path}{'?' if query else ''}{urlencode(query, doseq=True)}"


@asynccontextmanager
async def open_client(settings: ClusterAddress) -> AsyncIterator[KubeClient]:
    """A client of the stack's cluster, closed at the end.

    Raises:
        KubeconfigError: the kubeconfig, its kube context or that one's credentials cannot be used.
    """
    async with open_access(settings) as access:
        yield KubeClient(access)
