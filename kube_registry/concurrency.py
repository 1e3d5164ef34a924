"""Waiting: for something that only answers when asked, for several things, for blocking work."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def poll(check: Callable[[], Awaitable[B | None]], *, seconds: float, pause: float) -> B | None:
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


async def map_limited(work: Callable[[A], Awaitable[B]], of: Iterable[A], *, at_once: int) -> list[B]:
    """What some work gives for each of several things, in their order.

    The first that fails ends the others, and its error is raised as it is.

    Args:
        work: done for each.
        of: the things.
        at_once: how many are worked on at a time.
    """
    turns = asyncio.Semaphore(at_once)

    async def in_turn(thing: A) -> B:
        async with turns:
            return await work(thing)

    async with together() as group:
        tasks = [group.create_task(in_turn(thing)) for thing in of]
    return [task.result() for task in tasks]


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Have several tasks run; the first that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have some work go on while the block runs. No TaskGroup: another task may leave the block than entered it."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def cancelled_once(work: Coroutine[object, object, B]) -> B:
    """What some work gives that takes its own time to end: of several cancellations it gets the first alone.

    Args:
        work: the work; its end is waited for whatever happens.
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
