"""Client of one cluster's Kubernetes API; it uses the stack's credentials and raises this project's errors.

Objects are plain JSON, because the few fields that are read need no model classes. Callers choose the requests and
interpret the responses.
"""

import json
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
from kube_registry.kube.translate import message_of, refusal, translated
from kube_registry.spec.cluster_address import ClusterAddress

Query = Mapping[str, str | Sequence[str]]

_APPLY = {"fieldManager": "kube-registry", "force": "true"}
"""Query of a server-side apply: the field manager, which takes fields over from other managers."""

_APPLY_PATCH = {"Content-Type": "application/apply-patch+yaml"}

T = TypeVar("T")


def _json_object(data: bytes) -> dict[str, Any]:
    found = read_json(data)
    if not isinstance(found, dict):
        raise ValueError("the response is not a JSON object")  # noqa: TRY004 - the response is wrong, not our code
    return found


@dataclass(frozen=True)
class KubeClient:
    """Open connections to one API server; `open_client` creates and closes it.

    Any method may also raise UnreachableError, if no response arrives within REQUEST_SECONDS or the response is not
    from an API server, and KubeconfigError, if the credentials have expired and cannot be renewed. A request with a
    transient failure is retried (retries.py), and so is the upgrade to a WebSocket.

    Args:
        access: connections and credentials.
        ends: time.monotonic() after which no request is retried; None for PATIENCE_SECONDS after each request starts.
    """

    access: Access
    ends: float | None = None

    def until(self, ends: float) -> Self:
        """Return the same client, with retries until a time of time.monotonic()."""
        return replace(self, ends=ends)

    @property
    def once(self) -> Self:
        """The same client without retries, for callers that retry themselves."""
        return self.until(0.0)

    @property
    def where(self) -> Where:
        """The place that its errors name."""
        return self.access.where

    def path(self, kind: str, name: str = "", *, group: str = "", namespace: str = "") -> str:
        """Return the API path of all objects of a kind in a namespace, or of one object.

        Args:
            kind: plural name of the kind.
            name: name of the object, with the rest of the path; empty for the collection.
            group: API group and version; empty for core/v1.
            namespace: the namespace; empty for the registry's.
        """
        api = f"/apis/{group}" if group else "/api/v1"
        return f"{api}/namespaces/{namespace or self.where.namespace}/{kind}{f'/{name}' if name else ''}"

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return the JSON object at an API path.

        Raises:
            RefusedError: the API server refused the request.
        """
        return await self.send(_json_object, "GET", path, query=query)

    async def find(self, path: str) -> dict[str, Any] | None:
        """Return the JSON object at an API path; None if there is none.

        Raises:
            RefusedError: the API server refused the request for another reason.
        """
        try:
            return await self.get(path)
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def text(self, path: str) -> str:
        """Return the text at an API path that the API server proxies to another program.

        Raises:
            RefusedError: the API server refused the request.
        """
        return await self.send(bytes.decode, "GET", path)

    async def create(self, path: str, item: Mapping[str, Any], *, repeatable: bool = False) -> dict[str, Any]:
        """Create an object in the collection at an API path, and return the created object.

        Args:
            path: path of the collection.
            item: the object.
            repeatable: whether to retry after a lost response. Allowed if nothing is stored, or if the caller accepts
                status 409 too, because the first request may have created the object.

        Raises:
            RefusedError: the API server refused to create it.
        """
        return await self.send(_json_object, "POST", path, body=item, repeatable=repeatable)

    async def replace(self, path: str, item: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the object at an API path, and return the stored object.

        Args:
            path: path of the object.
            item: the object; if it has a resourceVersion, only that version is replaced.

        Raises:
            RefusedError: the API server refused the change; with status 409 if the resourceVersion has changed.
        """
        return await self.send(_json_object, "PUT", path, body=item)

    async def apply(self, path: str, item: Mapping[str, Any]) -> None:
        """Create or update the object at an API path (server-side apply).

        Raises:
            RefusedError: the API server refused the change.
        """
        await self.send(_json_object, "PATCH", path, query=_APPLY, headers=_APPLY_PATCH, body=item)

    async def delete(self, path: str) -> None:
        """Delete the object at an API path without a grace period; idempotent.

        Raises:
            RefusedError: the API server refused the deletion.
        """
        try:
            await self.send(_json_object, "DELETE", path, query={"gracePeriodSeconds": "0"})
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
        """Send a request, and return its response as `read` parses it.

        Args:
            read: parses the response; raises ValueError if the response is not from an API server.
            method: HTTP method.
            path: API path.
            query: query parameters.
            headers: headers to add to those that authenticate.
            body: a JSON object.
            request: name of the request in errors; method and path if empty.
            repeatable: whether the request may be carried out twice without harm.

        Raises:
            UnreachableError: no response within REQUEST_SECONDS, or a response that is not from an API server.
            RefusedError: a response with a status other than 2xx.
        """

        async def send(session: Session) -> T:
            answer = await session.pool.request(
                method,
                self.url(path, query or {}),
                headers={**session.headers, "Content-Type": "application/json", **(headers or {})},
                data=None if body is None else json.dumps(body),
                **session.route,
            )
            content = await answer.read()
            if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                message = message_of(content) or answer.reason or "no reason given"
                raise refusal(self.where, sent, answer.status, message, answer.headers)
            return read(content)

        sent = request or f"{method} {path}"
        return await self.ask(sent, send, repeatable=repeatable)

    async def ask(self, request: str, send: Callable[[Session], Awaitable[T]], *, repeatable: bool) -> T:
        """Send a request, and retry it while its failures are transient.

        Args:
            request: name of the request in errors.
            send: sends the request through a session, and returns the result.
            repeatable: whether the request may be carried out twice without harm.

        Raises:
            UnreachableError: no response within REQUEST_SECONDS, or a response that is not from an API server.
            RefusedError: the API server refused the request.
        """
        return await retried(
            partial(self._ask_once, request, send), partial(kube_patience, repeatable=repeatable), ends=self.ends
        )

    async def _ask_once(self, request: str, send: Callable[[Session], Awaitable[T]]) -> T:
        """Send a request; repeat it once with renewed credentials if they were not accepted, as client-go does."""
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
    """Open a client of the stack's cluster, and close it at the end.

    Raises:
        KubeconfigError: the kubeconfig, the kube context or its credentials cannot be used.
    """
    async with open_access(settings) as access:
        yield KubeClient(access)
