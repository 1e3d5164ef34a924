"""Retries of requests with transient failures.

This is the only way in this project to retry something. client-go retries 429 and 5xx with Retry-After in the same way
(rest/with_retry.go). A request that may have been carried out is retried only if that does no harm. A create is not,
unless its caller allows it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from kube_registry.errors import KubeRegistryError
from kube_registry.kube.errors import CertificateError, RefusedError, UnreachableError
from kube_registry.limits import PATIENCE_SECONDS

CONNECT_SECONDS = 2.0
"""Replaces PATIENCE_SECONDS if no connection can be opened: the cluster may not be running at all."""

TRANSIENT = (429, 502, 503, 504)
"""Transient statuses: from an overloaded server, from proxies, and from an API server that starts or waits for etcd."""

_NOT_CARRIED_OUT = 429
_SERVER_ERROR = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_LOST = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError)

T = TypeVar("T")

Patience = Callable[[KubeRegistryError, float], float]
"""Returns for how many seconds to retry after a failure, at most the given ones; 0 for no retry."""


async def retried(
    work: Callable[[], Awaitable[T]],
    patience: Patience,
    *,
    ends: float | None,
    on_retry: Callable[[KubeRegistryError], None] = lambda _: None,
) -> T:
    """Return the result of `work`, retried while its failures are transient; raise the last failure.

    Args:
        work: the operation.
        patience: decides which failures are transient.
        ends: time.monotonic() at which the caller's own wait ends; None for PATIENCE_SECONDS from now.
        on_retry: is called with each failure that is retried.
    """
    began, longest = time.monotonic(), _FIRST_PAUSE
    bound = PATIENCE_SECONDS if ends is None else ends - began
    while True:
        try:
            return await work()
        except KubeRegistryError as error:
            unconnected = ends is None and isinstance(error.__cause__, aiohttp.ClientConnectorError)
            left = began - time.monotonic() + patience(error, min(bound, CONNECT_SECONDS) if unconnected else bound)
            if left <= 0:
                raise
            on_retry(error)
            requested = error.retry_after if isinstance(error, RefusedError) else 0.0
        await asyncio.sleep(min(left, max(requested, _back_off(longest))))
        longest = min(2 * longest, _LONGEST_PAUSE)


def _back_off(longest: float) -> float:
    return random.uniform(0, longest)  # noqa: S311 - not used for secrets


def kube_patience(error: KubeRegistryError, bound: float, *, repeatable: bool = True) -> float:
    """Return for how many seconds to retry a failed request to the API server.

    Args:
        error: the failure.
        bound: the maximum.
        repeatable: whether the request may be carried out twice without harm.
    """
    if isinstance(error, RefusedError):
        if error.status == _NOT_CARRIED_OUT or (error.status in TRANSIENT and repeatable):
            return bound
        return min(bound, PATIENCE_SECONDS) if error.status >= _SERVER_ERROR and repeatable else 0.0
    unreachable = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
    return bound if unreachable and answer_lost(error, repeatable=repeatable) else 0.0


def answer_lost(error: KubeRegistryError, *, repeatable: bool = True) -> bool:
    """Return whether a request without a response may be retried, by aiohttp's error, which is our error's cause."""
    transient = _LOST if repeatable else aiohttp.ClientConnectorError
    return isinstance(error.__cause__, transient) and not isinstance(error.__cause__, aiohttp.ClientSSLError)
