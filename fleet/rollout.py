"""Which stack runs when: wave by wave, one alone as pilot, several at once behind it, none after too many failures."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from itertools import groupby

from fleet.inventory import Member
from fleet.outcome import Outcome, Result

FAILURES = (Result.FAILED, Result.CANCELLED)
BUILT = (Result.SUCCEEDED, Result.UNCHANGED)

CarryOut = Callable[[Member], Awaitable[Outcome]]
"""Runs one stack to its end and says what has become of it; it ends and says so when it is cancelled, too."""


async def roll_out(
    members: Sequence[Member],
    carry_out: CarryOut,
    outcomes: MutableMapping[str, Outcome],
    *,
    parallel: int,
    max_failures: int,
    pilot: bool,
) -> None:
    """Run every stack, or say why not.

    Args:
        members: the stacks, ordered by wave.
        carry_out: runs one of them.
        outcomes: by the stack's name; is filled as they come, and complete when this ends, also by being cancelled.
        parallel: how many of a wave run at once.
        max_failures: how many may fail; after one more no stack is begun, be it of the same wave or of the next.
        pilot: whether stacks run alone until one has succeeded: it builds the images, and the others find them in the
            build cache.
    """

    def stopped() -> bool:
        return sum(outcome.result in FAILURES for outcome in outcomes.values()) > max_failures

    def piloted() -> bool:
        return not pilot or any(outcome.result in BUILT for outcome in outcomes.values())

    async def work(waiting: deque[Member], enough: Callable[[], bool]) -> None:
        while waiting and not stopped() and not _cancelled():
            member = waiting.popleft()
            outcomes[member.name] = await carry_out(member)
            if enough():
                break

    try:
        for _, wave in groupby(members, key=lambda member: member.wave):
            waiting = deque(wave)
            if not piloted():
                async with asyncio.TaskGroup() as group:
                    group.create_task(work(waiting, piloted))
            async with asyncio.TaskGroup() as group:
                for _ in range(parallel):
                    group.create_task(work(waiting, lambda: False))
    finally:
        for member in members:
            outcomes.setdefault(member.name, Outcome(member.name, member.wave, Result.SKIPPED))


def _cancelled() -> bool:
    """Whether the running task was told to end, though what it awaited has given an outcome all the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
