"""The order in which stacks run: wave by wave, a pilot ahead, then several at once, none after too many failures."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Outcome, Result

RunStack = Callable[[Member, Callable[[], None]], Awaitable[Outcome]]
"""Runs a stack to its end, and calls the second argument once its update has succeeded. If it is cancelled, it still
returns an outcome.
"""


@dataclass(frozen=True)
class Order:
    """The order in which the stacks of a fleet run.

    Args:
        parallel: how many stacks of a wave run at once.
        max_failures: how many stacks may fail. After the next failure no further stack is started, in any wave.
        pilot: whether stacks run alone until the update of one has succeeded: the program works, and the others find
            its builds in the cache.
    """

    parallel: int
    max_failures: int
    pilot: bool

    def stopped(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Return whether too many stacks have failed."""
        return sum(outcome.result.state == "bad" for outcome in outcomes.values()) > self.max_failures


async def roll_out(
    members: Sequence[Member],
    order: Order,
    skip_if_current: Callable[[Member], Awaitable[Outcome | None]],
    run_stack: RunStack,
    outcomes: MutableMapping[str, Outcome],
) -> None:
    """Run every stack that has to run.

    Args:
        members: the stacks, ordered by wave.
        order: the order in which they run.
        skip_if_current: returns the outcome of a stack that does not have to run, else None. It is called for all
            stacks from the start, `order.parallel` at once. A stack waits only for its own check, because that of an
            unreachable cluster takes long.
        run_stack: runs a stack.
        outcomes: stack name -> outcome; filled during the run, and complete when this ends or is cancelled.
    """
    piloted = asyncio.Event()
    if not order.pilot:
        piloted.set()

    async def work(waiting: deque[Member]) -> None:
        while waiting and not order.stopped(outcomes) and not _cancelled():
            member = waiting.popleft()
            if await checks[member.name] or order.stopped(outcomes):
                continue
            outcomes[member.name] = await run_stack(member, piloted.set)

    try:
        async with asyncio.TaskGroup() as checking:
            free = asyncio.Semaphore(order.parallel)
            checks = {each.name: checking.create_task(_skip(each, free, skip_if_current, outcomes)) for each in members}
            for _, wave in groupby(members, key=lambda member: member.wave):
                waiting = deque(wave)
                async with asyncio.TaskGroup() as group:
                    await _first(group.create_task(work(waiting)), piloted)
                    for _ in range(order.parallel - 1):
                        group.create_task(work(waiting))
    finally:
        for member in members:
            outcomes.setdefault(member.name, Outcome(member.name, member.wave, Result.SKIPPED))


async def _first(pilot: asyncio.Task[None], piloted: asyncio.Event) -> None:
    """Wait for the first update that succeeds, or until the pilot, which runs one stack after another, has ended."""
    ready = asyncio.ensure_future(piloted.wait())
    try:
        await asyncio.wait([pilot, ready], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.cancel()


async def _skip(
    member: Member,
    free: asyncio.Semaphore,
    skip_if_current: Callable[[Member], Awaitable[Outcome | None]],
    outcomes: MutableMapping[str, Outcome],
) -> bool:
    """Return whether a stack is skipped; its outcome is then in `outcomes`."""
    async with free:
        if outcome := await skip_if_current(member):
            outcomes[member.name] = outcome
    return outcome is not None


def _cancelled() -> bool:
    """Return whether the current task was cancelled, even if what it awaited returned an outcome."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
