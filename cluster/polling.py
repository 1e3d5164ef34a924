"""The one way to wait for something that only answers when asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def poll(check: Callable[[], Awaitable[T | None]], *, seconds: float, pause: float) -> T | None:
    """Ask until there is an answer or the time is up.

    Args:
        check: answers None while it is not yet so; what it raises ends the waiting.
        seconds: how long to go on; the last question is asked at the very end.
        pause: seconds between two questions.

    Returns:
        The first answer, or None if there was none in time.
    """
    deadline = time.monotonic() + seconds
    while (answer := await check()) is None:
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
    return answer
