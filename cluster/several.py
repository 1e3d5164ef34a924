"""The one way to ask for several things at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def several(work: Callable[[A], Awaitable[B]], of: Iterable[A], *, at_once: int) -> list[B]:
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

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(thing)) for thing in of]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
