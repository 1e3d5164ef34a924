"""The one place where the lower libraries' errors become ours."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes_asyncio.client.exceptions import OpenApiException
from kubernetes_asyncio.config import ConfigException

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.kube.errors import CertificateError, CredentialsError, ForbiddenError, RefusedError, UnreachableError
from kube_registry.text import one_line

REQUEST_SECONDS = 15.0
"""How long one request to the API server may take."""

LOWER = (
    aiohttp.ClientError,
    aiohttp.WebSocketError,
    aiohttp.EofStream,
    HttpProcessingError,
    OSError,
    EOFError,
    OpenApiException,
    ConfigException,
)
"""Roots of what aiohttp, asyncio, ssl and kubernetes_asyncio raise."""


@asynccontextmanager
async def translated(where: Where, request: str) -> AsyncIterator[None]:
    """Bound one request by REQUEST_SECONDS. Whatever goes wrong becomes ours; a cancelled one stays cancelled.

    Raises:
        UnreachableError: no connection, a broken one, no answer in time, or one that no API server gives.
        RefusedError: an answer with a status other than 2xx, or a refused WebSocket upgrade.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except aiohttp.WSServerHandshakeError as error:
        raise refusal(where, request, error.status, error.message, error.headers or {}) from error
    except aiohttp.ClientHttpProxyError as error:
        raise UnreachableError(where=where, reason=f"the proxy answered {error.status} {error.message}") from error
    except TimeoutError as error:
        raise UnreachableError(where=where, reason=f"no answer within {REQUEST_SECONDS:.0f} s") from error
    except LOWER as error:
        if distrust := _distrust(error):
            raise CertificateError(where=where, reason=in_words(distrust)) from error
        raise UnreachableError(where=where, reason=in_words(error)) from error
    except ValueError as error:
        raise UnreachableError(
            where=where, reason=f"what answers {request} is no API server: {in_words(error)}"
        ) from error


def _distrust(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What is wrong with a certificate, if that is the cause; within an HTTPS proxy's TLS, asyncio buries it deep."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error
    cause = error.__cause__ or error.__context__
    return _distrust(cause) if cause else None


def refusal(
    where: Where, request: str, status: int, words: str, headers: Mapping[str, str] = MappingProxyType({})
) -> RefusedError:
    """Return what a refusal means by its status and the API server's own words.

    Args:
        where: the cluster.
        request: what was refused.
        status: of HTTP.
        words: the API server's.
        headers: in Retry-After, the API server writes a whole number of seconds.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(where=where, request=request, status=status, reason=words)
    missing = _MISSING_RIGHT.search(words)
    if status == HTTPStatus.FORBIDDEN and missing:
        right: dict[str, Any] = missing.groupdict("")
        return ForbiddenError(where=where, request=request, status=status, reason=words, **right)
    after = headers.get("Retry-After", "")
    return RefusedError(
        where=where,
        request=request,
        status=status,
        reason=words,
        retry_after=float(after) if after.isdecimal() else 0.0,
    )


def in_words(error: Exception) -> str:
    """Return an error in one line of words, however little it says."""
    try:
        words = one_line(str(error))
    except AttributeError:  # aiohttp's describe a connection that may not be there
        words = ""
    return words or type(error).__name__


_MISSING_RIGHT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "[^"]*"'
    r'( in the namespace "(?P<namespace>[^"]*)")?'
)
"""How the API server words a missing right (apiserver pkg/endpoints/handlers/responsewriters/errors.go)."""


def words_of(answer: bytes) -> str:
    """The API server's own words in a refusal, which is a Status object with a message; empty if there are none."""
    try:
        return str(read_json(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
