"""Convert the errors of the lower-level libraries to this project's errors; nothing else does."""

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

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.kube.errors import CertificateError, CredentialsError, ForbiddenError, RefusedError, UnreachableError
from kube_registry.text import one_line

REQUEST_SECONDS = 15.0
"""Timeout of one request to the API server."""

LOWER = (
    aiohttp.ClientError,
    aiohttp.WebSocketError,
    aiohttp.EofStream,
    HttpProcessingError,
    OSError,
    EOFError,
)
"""Base classes of the errors that aiohttp, asyncio and ssl raise."""


@asynccontextmanager
async def translated(where: Where, request: str) -> AsyncIterator[None]:
    """Limit one request to REQUEST_SECONDS, and convert its errors; a cancelled request stays cancelled.

    Raises:
        UnreachableError: no connection, a broken one, no response in time, or one that is not from an API server.
        RefusedError: a response with a status other than 2xx, or a refused WebSocket upgrade.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except aiohttp.WSServerHandshakeError as error:
        raise refusal(where, request, error.status, error.message, error.headers or {}) from error
    except aiohttp.ClientHttpProxyError as error:
        raise UnreachableError(where=where, reason=f"the proxy answered {error.status} {error.message}") from error
    except TimeoutError as error:
        raise UnreachableError(where=where, reason=f"no response within {REQUEST_SECONDS:.0f} s") from error
    except LOWER as error:
        if distrust := _distrust(error):
            raise CertificateError(where=where, reason=in_words(distrust)) from error
        raise UnreachableError(where=where, reason=in_words(error)) from error
    except ValueError as error:
        raise UnreachableError(
            where=where, reason=f"the server that answered {request} is not an API server: {in_words(error)}"
        ) from error


def _distrust(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """Return the certificate error among the causes; asyncio nests it deeply within an HTTPS proxy's TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error
    cause = error.__cause__ or error.__context__
    return _distrust(cause) if cause else None


def refusal(
    where: Where, request: str, status: int, message: str, headers: Mapping[str, str] = MappingProxyType({})
) -> RefusedError:
    """Return the error for a refused request, by its status and the API server's message.

    Args:
        where: the cluster.
        request: the request.
        status: HTTP status.
        message: the API server's message.
        headers: of the response; in Retry-After, the API server writes a whole number of seconds.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(where=where, request=request, status=status, reason=message)
    missing = _MISSING_RIGHT.search(message)
    if status == HTTPStatus.FORBIDDEN and missing:
        right: dict[str, Any] = missing.groupdict("")
        return ForbiddenError(where=where, request=request, status=status, reason=message, **right)
    after = headers.get("Retry-After", "")
    return RefusedError(
        where=where,
        request=request,
        status=status,
        reason=message,
        retry_after=float(after) if after.isdecimal() else 0.0,
    )


def in_words(error: Exception) -> str:
    """Return an error's message in one line, or its class name if it has none."""
    try:
        words = one_line(str(error))
    except AttributeError:  # some of aiohttp's errors format a connection that may be None
        words = ""
    return words or type(error).__name__


_LONGEST_LINE = 200
"""Bytes of the longest text that is a message; a page of a proxy is longer."""

_MISSING_RIGHT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "[^"]*"'
    r'( in the namespace "(?P<namespace>[^"]*)")?'
)
"""The API server's message about a missing permission (apiserver pkg/endpoints/handlers/responsewriters/errors.go)."""


def message_of(answer: bytes) -> str:
    """Return the message in a refusal, a Status object or a line of text; empty if there is none."""
    try:
        return str(read_json(answer)["message"])
    except (ValueError, KeyError, TypeError):
        line = answer[: _LONGEST_LINE + 1].decode(errors="replace").strip()
        plain = line.isprintable() and len(line) <= _LONGEST_LINE and line[:1] not in ("<", "{", "[")
        return line if plain else ""
