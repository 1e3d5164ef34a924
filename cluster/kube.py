"""The Kubernetes API of one cluster: the stack's kubeconfig and kube context, and one translation of errors.

Kubeconfig merging, credentials, TLS and proxies are kubernetes_asyncio's; objects are plain JSON, because the
few fields that are read here need no model classes. What is asked for, and what the answer means, is up to the
callers.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yaml
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config import ConfigException, new_client_from_config
from kubernetes_asyncio.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger

from stack.errors import (
    CertificateError,
    CredentialPluginError,
    CredentialsError,
    ForbiddenError,
    KubeconfigError,
    RefusedError,
    UnreachableError,
    Where,
)
from stack.settings import Settings

logging.getLogger("kubernetes_asyncio").addHandler(logging.NullHandler())  # it logs what our errors say

REQUEST_SECONDS = 15.0
"""How long one request to the API server may take."""

CLOSE_SECONDS = 1.0
"""How long the end of a WebSocket is waited for."""

LARGEST_MESSAGE = 256 * 1024
"""Most bytes of one incoming WebSocket message; nodes send 32 KiB (protocol fact: Go's copy buffer)."""


@dataclass(frozen=True)
class KubeClient:
    """An open connection pool to one API server; `open_client` makes it and closes it."""

    api: ApiClient
    where: Where

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON object that a GET of an API path answers.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS.
            RefusedError: an answer, but not the object.
        """
        url = f"{self.where.cluster}{path}"
        with translated(self.where, f"GET {path}"):
            answer = await self.api.rest_client.request(
                "GET", url, query_params=query, headers=await self.headers(), _request_timeout=REQUEST_SECONDS
            )
            found: dict[str, Any] = json.loads(answer.data)
            return found

    async def headers(self) -> dict[str, str]:
        """The credentials for one request, refreshed where the kubeconfig says how."""
        settings = await self.api.configuration.auth_settings()
        return {auth["key"]: auth["value"] for auth in settings.values()}

    @asynccontextmanager
    async def websocket(self, path: str, protocol: str, **query: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket to an API path, closed at the end, within CLOSE_SECONDS even if the peer takes nothing more.

        No compression: frames are passed on as they come. No pings: a healthy connection with a slow reader would
        be closed for them.

        A refused upgrade says nothing but its status, so the same is asked once more without one: where a right is
        missing, the answer to that names it.

        Raises:
            UnreachableError: no answer within REQUEST_SECONDS.
            RefusedError: the upgrade was refused.
        """
        try:
            socket = await self._upgrade(path, protocol, query)
        except RefusedError as refused:
            if refused.status == HTTPStatus.FORBIDDEN:
                with suppress(UnreachableError):
                    await self._ask_without_upgrade(path, query, refused)
            raise
        try:
            yield socket
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await socket.close()

    async def _ask_without_upgrade(self, path: str, query: Mapping[str, str], refused: RefusedError) -> None:
        try:
            await self.get(path, **query)
        except RefusedError as explained:
            if explained.status == refused.status:
                raise explained from refused

    async def _upgrade(self, path: str, protocol: str, query: Mapping[str, str]) -> aiohttp.ClientWebSocketResponse:
        rest = self.api.rest_client
        with translated(self.where, f"WebSocket {path}"):
            async with asyncio.timeout(REQUEST_SECONDS):
                socket: aiohttp.ClientWebSocketResponse = await rest.pool_manager.ws_connect(
                    f"{self.where.cluster}{path}?{urlencode(query)}",
                    protocols=[protocol],
                    headers=await self.headers(),
                    max_msg_size=LARGEST_MESSAGE,
                    compress=0,
                    proxy=rest.proxy,
                    server_hostname=rest.server_hostname,
                )
                return socket


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[KubeClient]:
    """A client of the stack's cluster, closed at the end.

    Raises:
        KubeconfigError: the kubeconfig, its kube context or that one's credentials cannot be used.
    """
    kubeconfig = settings.kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
    unknown = Where(cluster="cluster not known", kube_context=settings.kube_context, namespace=settings.namespace)
    _check_kubeconfig(unknown, kubeconfig)
    try:
        api = await new_client_from_config(kubeconfig, context=settings.kube_context, persist_config=False)
    except FileNotFoundError as error:
        raise CredentialPluginError(
            where=unknown, kubeconfig=kubeconfig, reason=f"{error.filename} is missing"
        ) from error
    except (ConfigException, OSError, TypeError, AttributeError, ValueError) as error:
        raise KubeconfigError(where=unknown, kubeconfig=kubeconfig, reason=_one_line(error)) from error
    async with api:
        where = Where(cluster=api.configuration.host, kube_context=settings.kube_context, namespace=settings.namespace)
        yield KubeClient(api, where)


def _check_kubeconfig(where: Where, kubeconfig: str) -> None:
    """Make sure that the kubeconfig can be read and has the kube context; it need not have a current one.

    Raises:
        KubeconfigError: it is not so.
    """
    reason = None
    if not any(Path(part).expanduser().is_file() for part in kubeconfig.split(os.pathsep)):
        reason = "there is no such file"
    else:
        try:
            names = [str(context["name"]) for context in KubeConfigMerger(kubeconfig).config.value["contexts"]]
            if where.kube_context not in names:
                reason = f"it has no such kube context, it has {', '.join(names) or 'none'}"
        except (ConfigException, OSError, yaml.YAMLError, TypeError, AttributeError, KeyError) as error:
            reason = _one_line(error)
    if reason:
        raise KubeconfigError(where=where, kubeconfig=kubeconfig, reason=reason)


@contextmanager
def translated(where: Where, request: str) -> Iterator[None]:
    """The one place where the lower libraries' errors become ours.

    Raises:
        UnreachableError: no connection, a broken one, or no answer in time.
        RefusedError: an answer with a status other than 2xx, or a refused WebSocket upgrade.
    """
    try:
        yield
    except ApiException as error:
        raise refusal(where, request, error.status, _message(error)) from error
    except aiohttp.WSServerHandshakeError as error:
        raise RefusedError(where=where, request=request, status=error.status, reason=error.message) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise CertificateError(where=where, reason=_one_line(error.certificate_error)) from error
    except TimeoutError as error:
        raise UnreachableError(where=where, reason=f"no answer within {REQUEST_SECONDS:.0f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnreachableError(where=where, reason=_one_line(error)) from error


def refusal(where: Where, request: str, status: int, words: str) -> RefusedError:
    """What a refusal means, told from its status and the API server's own words."""
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(where=where, request=request, status=status, reason=words)
    missing = _MISSING_RIGHT.search(words)
    if status == HTTPStatus.FORBIDDEN and missing:
        right = {name: found or "" for name, found in missing.groupdict().items()}
        return ForbiddenError(where=where, request=request, status=status, reason=words, **right)
    return RefusedError(where=where, request=request, status=status, reason=words)


_MISSING_RIGHT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "[^"]*"'
    r'( in the namespace "(?P<namespace>[^"]*)")?'
)
"""How the API server words a missing right (apiserver pkg/endpoints/handlers/responsewriters/errors.go)."""


def _message(error: ApiException) -> str:
    """The API server's own words; its errors are Status objects with a message."""
    try:
        return str(json.loads(error.body or b"")["message"])
    except (ValueError, KeyError, TypeError):
        return error.reason or "no reason given"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
