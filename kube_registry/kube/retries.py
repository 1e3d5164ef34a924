"""Which failures of a request to the API server or the registry pass by themselves, and for how long it is sent again.

client-go does the same for 429 and 5xx with Retry-After (rest/with_retry.go). A request that may have been carried out
is sent again only if that does no harm: a create is not, unless its caller says so.
"""

import time
from collections.abc import Callable

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from kube_registry.kube.errors import CertificateError, RefusedError, UnreachableError
from kube_registry.limits import PATIENCE_SECONDS
from kube_registry.registry.errors import RegistryError

CONNECT_SECONDS = 2.0
"""The same where no connection comes about and the caller sets no end: the cluster may not run at all."""

_BACK_OFF = wait_random_exponential(multiplier=0.1, max=2)
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_PASSING = (502, 503, 504)
"""What proxies answer and the API server itself while it starts, stops or waits for etcd."""

_ANSWER_LOST = (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError)


def retrying(ends: float | None, *, repeatable: bool) -> AsyncRetrying:
    """Return what calls a function again while its failures pass by themselves, then raises the last one.

    Args:
        ends: when the caller's own wait ends, by time.monotonic(); None for PATIENCE_SECONDS from now.
        repeatable: whether the request that the function sends does no harm if it is carried out twice.
    """
    bound = PATIENCE_SECONDS if ends is None else ends - time.monotonic()

    def left(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        elapsed = state.seconds_since_start or 0.0
        return 0.0 if error is None else _seconds(error, bound, is_ours=ends is None, repeatable=repeatable) - elapsed

    def pause(state: RetryCallState) -> float:
        return max(0.0, min(no_sooner(_BACK_OFF)(state), left(state)))

    return AsyncRetrying(retry=lambda state: left(state) > 0, wait=pause)


def no_sooner(back_off: Callable[[RetryCallState], float]) -> Callable[[RetryCallState], float]:
    """Return how to pause between two tries: as long as the API server wants in Retry-After, else by a back-off."""

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        wanted = error.retry_after if isinstance(error, RefusedError) else 0.0
        return max(wanted, back_off(state))

    return pause


def _seconds(error: BaseException, bound: float, *, is_ours: bool, repeatable: bool) -> float:
    """Return how many seconds a request that fails like this is sent again; 0 for one that is not."""
    if isinstance(error, RefusedError):
        if error.status == _TOO_MANY_REQUESTS or (error.status in _PASSING and repeatable):
            return bound
        return min(bound, PATIENCE_SECONDS) if error.status >= _SERVER_ERROR and repeatable else 0.0
    if isinstance(error, RegistryError) and error.status is not None:  # its 500 is a file that is damaged, and lasts
        return bound if error.status in (_TOO_MANY_REQUESTS, *_PASSING) and repeatable else 0.0
    if not isinstance(error, UnreachableError | RegistryError) or isinstance(error, CertificateError):
        return 0.0
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientConnectorError) and not isinstance(cause, aiohttp.ClientSSLError):
        return min(bound, CONNECT_SECONDS) if is_ours else bound
    lost = isinstance(cause, _ANSWER_LOST) and not isinstance(cause, aiohttp.ClientSSLError)
    return bound if lost and repeatable else 0.0
