"""Ctrl-C and SIGTERM as the usual way to end a verb that goes on until it is told."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_ENDS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def until_told() -> AsyncIterator[None]:
    """A block that the first Ctrl-C or SIGTERM leaves at once, closing what was opened in it.

    Later ones are not heard, so that nothing is left half closed: all that closes has a bound of its own. After a block
    that ended by itself both have their meaning of before, for a question that follows.
    """
    loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), False
    assert task is not None  # noqa: S101 - a coroutine runs in a task

    def tell(*_: object) -> None:
        nonlocal told
        if not told:
            told = True
            loop.call_soon_threadsafe(task.cancel)

    before = {each: signal.signal(each, tell) for each in _ENDS}
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        task.uncancel()
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_IGN if told else handler)
