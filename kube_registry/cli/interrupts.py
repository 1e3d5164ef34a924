"""Ctrl-C, SIGTERM and the end of the terminal as the usual ways to end a verb that goes on until it is told."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@asynccontextmanager
async def until_interrupted() -> AsyncIterator[None]:
    """A block that the first Ctrl-C, SIGTERM or SIGHUP leaves at once, closing what was opened in it.

    Later ones are not heard, so that nothing is left half closed: all that closes has a bound of its own. After a block
    that ended by itself they have their meaning of before, for a question that follows. A SIGHUP that is ignored from
    the start stays so: that is what nohup is for.
    """
    loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), False
    assert task is not None  # noqa: S101 - a coroutine runs in a task

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            task.cancel()

    heard = [each for each in _ENDS if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.getsignal(each) for each in heard}
    for each in heard:
        loop.add_signal_handler(each, tell)  # which wakes the loop; signal.signal() may leave it asleep
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        task.uncancel()
    finally:
        for each, handler in before.items():
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_IGN if told else handler)
