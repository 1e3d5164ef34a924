"""The progress of an open tunnel: lines that stay and, on a terminal, a last line that is kept current."""

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
"""Seconds between two updates of the live line."""

RATE_SAMPLES = 5
"""Over how many of its updates the live line averages the bytes per second."""

QUIET_SECONDS = 5.0
"""A wait logs the same reason five times a second; after so many seconds without it, it is shown again."""

_LOG = logging.getLogger("kube_registry.tunnel")

Sample = tuple[float, Traffic]
"""A time in seconds, and the bytes carried until then."""


@contextmanager
def watched(console: Console) -> Iterator[Live]:
    """Show a live line, and above it the tunnel's log messages, until the block ends."""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        handler = logging.StreamHandler(sys.stdout)  # Live keeps standard output above its line
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        handler.addFilter(_no_repeats())
        level, shows_errors = _LOG.level, logging.raiseExceptions
        _LOG.setLevel(logging.INFO)
        logging.raiseExceptions = False  # the reader may have exited, as in `| head -1`
        _LOG.addHandler(handler)
        try:
            yield live
        finally:
            _LOG.removeHandler(handler)
            _LOG.setLevel(level)
            logging.raiseExceptions = shows_errors


async def keep_current(live: Live, tunnel: Tunnel) -> None:
    """Update the live line with what the tunnel carries, until the tunnel breaks.

    Raises:
        KubeRegistryError: why it broke.
    """
    opened = time.monotonic()
    samples = deque([(opened, tunnel.traffic)], maxlen=RATE_SAMPLES)
    while tunnel.is_open():
        await asyncio.sleep(REFRESH_SECONDS)
        samples.append((time.monotonic(), tunnel.traffic))
        live.update(progress(samples, tunnel.reconnects, since=opened), refresh=True)
    assert tunnel.broken  # noqa: S101 - closed by an error, such as the loss of its lease
    raise tunnel.broken


def progress(samples: Sequence[Sample], reconnects: int, *, since: float) -> str:
    """Return the live line: the total bytes each way, and bytes per second from the first sample to the last."""
    (first, before), (last, now) = samples[0], samples[-1]
    sent, received = (now.sent - before.sent) / (last - first), (now.received - before.received) / (last - first)
    return (
        f"{timedelta(seconds=int(last - since))}  sent {decimal(now.sent)}, {decimal(int(sent))}/s  "
        f"received {decimal(now.received)}, {decimal(int(received))}/s  reconnects {reconnects}"
    )


def totals(tunnel: Tunnel) -> str:
    """Return the bytes that a tunnel has carried, and how often it reconnected."""
    traffic = tunnel.traffic
    return f"sent {decimal(traffic.sent)}, received {decimal(traffic.received)}, reconnects {tunnel.reconnects}"


def _no_repeats() -> Callable[[logging.LogRecord], bool]:
    last, when = "", 0.0

    def is_new(record: logging.LogRecord) -> bool:
        nonlocal last, when
        repeated = record.getMessage() == last and record.created - when < QUIET_SECONDS
        last, when = record.getMessage(), record.created
        return not repeated

    return is_new
