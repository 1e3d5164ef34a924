"""For how long a request is sent again that fails in a way that passes by itself.

This is the one way to try something again. client-go does the same for 429 and 5xx with Retry-After
(rest/with_retry.go). A request that may have been carried out is sent again only if that does no harm: a create is not,
unless its caller says so.
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
"""PATIENCE_SECONDS where no connection comes about: the cluster may not run at all."""

PASSING = (429, 502, 503, 504)
"""What a server answers that is asked too much, and proxies and the API server while it starts or waits for etcd."""

_NOT_CARRIED_OUT = 429
_SERVER_ERROR = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_LOST = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError)

T = TypeVar("T")

Patience = Callable[[KubeRegistryError, float], float]
"""For how many seconds, at most the given ones, something is done again that failed so; 0 for not at all."""


async def retried(
    work: Callable[[], Awaitable[T]],
    patience: Patience,
    *,
    ends: float | None,
    heard: Callable[[KubeRegistryError], None] = lambda _: None,
) -> T:
    """Return what work gives, done again while its failures pass by themselves; the last one is raised.

    Args:
        work: what is done.
        patience: says which failures pass.
        ends: when the caller's own wait ends, by time.monotonic(); None for PATIENCE_SECONDS from now.
        heard: is called with each failure that is waited out.
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
            heard(error)
            wanted = error.retry_after if isinstance(error, RefusedError) else 0.0
        await asyncio.sleep(min(left, max(wanted, _back_off(longest))))
        longest = min(2 * longest, _LONGEST_PAUSE)


def _back_off(longest: float) -> float:
    return random.uniform(0, longest)  # noqa: S311 - nothing is kept secret with it


def kube_patience(error: KubeRegistryError, bound: float, *, repeatable: bool = True) -> float:
    """Return for how many seconds a request to the API server is sent again that failed so.

    Args:
        error: how it failed.
        bound: the most.
        repeatable: whether it does no harm if it is carried out twice.
    """
    if isinstance(error, RefusedError):
        if error.status == _NOT_CARRIED_OUT or (error.status in PASSING and repeatable):
            return bound
        return min(bound, PATIENCE_SECONDS) if error.status >= _SERVER_ERROR and repeatable else 0.0
    unreachable = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
    return bound if unreachable and answer_lost(error, repeatable=repeatable) else 0.0


def answer_lost(error: KubeRegistryError, *, repeatable: bool = True) -> bool:
    """Return whether a request without an answer may be sent again, by aiohttp's error, which is the cause of ours."""
    passing = _LOST if repeatable else aiohttp.ClientConnectorError
    return isinstance(error.__cause__, passing) and not isinstance(error.__cause__, aiohttp.ClientSSLError)
