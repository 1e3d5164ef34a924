"""What a person sees of an open tunnel: lines that stay and, on a terminal, a last one that is kept true."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live

from kube_registry.tunnel.forward import Traffic
from kube_registry.tunnel.listener import Tunnel

REFRESH_SECONDS = 0.5
"""How often the live line is written anew."""

RATE_SAMPLES = 5
"""Over how many of its states the live line counts bytes a second."""

QUIET_SECONDS = 5.0
"""A wait gives the same reason five times a second; so long it must have been silent to be shown again."""

_LOG = logging.getLogger("kube_registry.tunnel")

Sample = tuple[float, Traffic]
"""A time in seconds, and the bytes that had been carried then."""


@contextmanager
def watched(console: Console) -> Iterator[Live]:
    """The live line, and above it what the tunnel has to say; both are gone at the end."""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        handler = logging.StreamHandler(sys.stdout)  # which Live keeps above its line
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        handler.addFilter(_only_news())
        level, shows_errors = _LOG.level, logging.raiseExceptions
        _LOG.setLevel(logging.INFO)
        logging.raiseExceptions = False  # a reader that has gone, as in `| head -1`, gets no line more
        _LOG.addHandler(handler)
        try:
            yield live
        finally:
            _LOG.removeHandler(handler)
            _LOG.setLevel(level)
            logging.raiseExceptions = shows_errors


async def keep_true(live: Live, tunnel: Tunnel) -> None:
    """Write on the live line what the tunnel carries, until it is broken off.

    Raises:
        KubeRegistryError: why it was.
    """
    opened = time.monotonic()
    samples = deque([(opened, tunnel.traffic)], maxlen=RATE_SAMPLES)
    while tunnel.is_open():
        await asyncio.sleep(REFRESH_SECONDS)
        samples.append((time.monotonic(), tunnel.traffic))
        live.update(progress(samples, tunnel.reconnects, since=opened), refresh=True)
    assert tunnel.broken  # noqa: S101 - by what it holds, its lease among that
    raise tunnel.broken


def progress(samples: Sequence[Sample], reconnects: int, *, since: float) -> str:
    """The live line: bytes each way in all, and a second from the first sample to the last."""
    (first, before), (last, now) = samples[0], samples[-1]
    sent, received = (now.sent - before.sent) / (last - first), (now.received - before.received) / (last - first)
    return (
        f"{timedelta(seconds=int(last - since))}  sent {decimal(now.sent)}, {decimal(int(sent))}/s  "
        f"received {decimal(now.received)}, {decimal(int(received))}/s  reconnects {reconnects}"
    )


def totals(tunnel: Tunnel) -> str:
    """What a tunnel has carried."""
    traffic = tunnel.traffic
    return f"sent {decimal(traffic.sent)}, received {decimal(traffic.received)}, reconnects {tunnel.reconnects}"


def _only_news() -> Callable[[logging.LogRecord], bool]:
    said, when = "", 0.0

    def is_news(record: logging.LogRecord) -> bool:
        nonlocal said, when
        again = record.getMessage() == said and record.created - when < QUIET_SECONDS
        said, when = record.getMessage(), record.created
        return not again

    return is_news
