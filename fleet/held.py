"""Blocking work that a task can be cancelled out of, once it has been made to end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


async def held(work: Callable[[], _T], end: Callable[[], None]) -> _T:
    """What blocking work gives, which runs in a thread of its own.

    Args:
        work: the work.
        end: makes it end soon, may be called again; it is, when this is cancelled, and the end is waited for.
    """
    with ThreadPoolExecutor(1) as thread:  # the loop's own are too few for a fleet
        running = asyncio.wrap_future(thread.submit(work))
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
                end()
        failed = running.exception()
        if cancelled:
            raise cancelled from failed
        return running.result()
