"""The order in which stacks run: wave by wave, a pilot alone, then several at once, none after too many failures."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Outcome, Result

_BUILT = (Result.SUCCEEDED, Result.UNCHANGED)


@dataclass(frozen=True)
class Order:
    """The order in which the stacks of a fleet run.

    Args:
        parallel: how many stacks of a wave run at once.
        max_failures: how many stacks may fail. After the next failure no further stack is started, in any wave.
        pilot: whether stacks run alone until one has succeeded: it builds the images, and the others find them in the
            build cache.
    """

    parallel: int
    max_failures: int
    pilot: bool

    def stopped(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Return whether too many stacks have failed."""
        return sum(outcome.result.state == "bad" for outcome in outcomes.values()) > self.max_failures

    def piloted(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Return whether stacks no longer have to run alone."""
        return not self.pilot or any(outcome.result in _BUILT for outcome in outcomes.values())


async def roll_out(
    members: Sequence[Member],
    order: Order,
    skip_if_current: Callable[[Member], Awaitable[Outcome | None]],
    run_stack: Callable[[Member], Awaitable[Outcome]],
    outcomes: MutableMapping[str, Outcome],
) -> None:
    """Run every stack that has to run.

    Args:
        members: the stacks, ordered by wave.
        order: the order in which they run.
        skip_if_current: returns the outcome of a stack that does not have to run, else None. It is called for all
            stacks from the start, `order.parallel` at once. A stack waits only for its own check, because that of an
            unreachable cluster takes long.
        run_stack: runs a stack to its end; if it is cancelled, it still returns an outcome.
        outcomes: stack name -> outcome; filled during the run, and complete when this ends or is cancelled.
    """

    async def work(waiting: deque[Member], enough: Callable[[], bool]) -> None:
        while waiting and not order.stopped(outcomes) and not _cancelled():
            member = waiting.popleft()
            if await checks[member.name] or order.stopped(outcomes):
                continue
            outcomes[member.name] = await run_stack(member)
            if enough():
                break

    try:
        async with asyncio.TaskGroup() as checking:
            free = asyncio.Semaphore(order.parallel)
            checks = {each.name: checking.create_task(_skip(each, free, skip_if_current, outcomes)) for each in members}
            for _, wave in groupby(members, key=lambda member: member.wave):
                waiting = deque(wave)
                if not order.piloted(outcomes):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(work(waiting, lambda: order.piloted(outcomes)))
                async with asyncio.TaskGroup() as group:
                    for _ in range(order.parallel):
                        group.create_task(work(waiting, lambda: False))
    finally:
        for member in members:
            outcomes.setdefault(member.name, Outcome(member.name, member.wave, Result.SKIPPED))


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
