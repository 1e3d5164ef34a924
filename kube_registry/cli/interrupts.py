"""Ctrl-C, SIGTERM and a closed terminal as the usual ways to end a command."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@asynccontextmanager
async def until_interrupted() -> AsyncIterator[None]:
    """Run a block that the first Ctrl-C, SIGTERM or SIGHUP leaves at once, closing what was opened in it.

    Later signals are ignored, so that nothing is left half closed; closing has its own time limits. After a block that
    ended by itself, the previous signal handlers are restored, for a prompt that may follow. A SIGHUP that was ignored
    from the start stays ignored: that is how nohup works.
    """
    loop, task, interrupted = asyncio.get_running_loop(), asyncio.current_task(), False
    assert task is not None  # noqa: S101 - a coroutine runs in a task

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            task.cancel()

    handled = [each for each in _ENDS if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.getsignal(each) for each in handled}
    for each in handled:
        loop.add_signal_handler(each, interrupt)  # wakes the loop, which signal.signal() may not
    try:
        yield
    except asyncio.CancelledError:
        if not interrupted:
            raise
        task.uncancel()
    finally:
        for each, handler in before.items():
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_IGN if interrupted else handler)
