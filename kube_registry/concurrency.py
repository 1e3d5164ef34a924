"""Polling, concurrent tasks and cancellation with asyncio."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def poll(check: Callable[[], Awaitable[B | None]], *, seconds: float, pause: float) -> B | None:
    """Call a check until it returns a result or the time is up.

    Args:
        check: returns None to be called again; an exception ends the wait.
        seconds: how long to wait; the last call happens when the time is up.
        pause: seconds between two calls.

    Returns:
        The first result that is not None, or None on timeout.
    """
    deadline = time.monotonic() + seconds
    while (result := await check()) is None:
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
    return result


async def map_limited(work: Callable[[A], Awaitable[B]], items: Iterable[A], *, at_once: int) -> list[B]:
    """Apply an async function to several items concurrently and return the results in order.

    The first failure cancels the other calls, and its exception is raised unchanged.

    Args:
        work: the function to apply.
        items: its arguments, one for each call.
        at_once: the limit of concurrent calls.
    """
    semaphore = asyncio.Semaphore(at_once)

    async def limited(item: A) -> B:
        async with semaphore:
            return await work(item)

    async with together() as group:
        tasks = [group.create_task(limited(item)) for item in items]
    return [task.result() for task in tasks]


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a TaskGroup in which the first failure cancels the other tasks and is raised without an ExceptionGroup."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def first_of_two(work: Coroutine[None, None, A], other: Coroutine[None, None, B]) -> tuple[A | None, B | None]:
    """Run two coroutines until one ends, then cancel the other; return the result of the one, and None for the other.

    Args:
        work: if both end at the same time, the result is that of this one.
        other: the other one.
    """
    async with together() as group:
        tasks = group.create_task(work), group.create_task(other)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    first, second = tasks
    return (None, second.result()) if first.cancelled() else (first.result(), None)


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run a coroutine in the background of a block, and cancel it at the end of the block.

    This is not a TaskGroup, because the block may be left in another task than the one that entered it.
    """
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def cancelled_once(work: Coroutine[object, object, B]) -> B:
    """Run a coroutine that needs time to shut down: only the first of several cancellations reaches it.

    Args:
        work: the coroutine. This function always waits until it has ended.
    """
    running, cancelled = asyncio.create_task(work), False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            if not cancelled:
                running.cancel()
            cancelled = True
    if cancelled and not running.cancelled():
        raise asyncio.CancelledError from running.exception()
    return running.result()
