"""Which stack runs when: wave by wave, one alone as pilot, several at once behind it, none after too many failures."""

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
    """How the stacks of a fleet follow one another.

    Args:
        parallel: how many of a wave run at once.
        max_failures: how many may fail; after one more no stack is begun, be it of the same wave or of the next.
        pilot: whether stacks run alone until one has succeeded: it builds the images, and the others find them in the
            build cache.
    """

    parallel: int
    max_failures: int
    pilot: bool

    def stopped(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Whether too many have failed."""
        return sum(outcome.result.state == "bad" for outcome in outcomes.values()) > self.max_failures

    def piloted(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Whether stacks need not go alone any more."""
        return not self.pilot or any(outcome.result in _BUILT for outcome in outcomes.values())


async def roll_out(
    members: Sequence[Member],
    order: Order,
    skip_if_current: Callable[[Member], Awaitable[Outcome | None]],
    run_stack: Callable[[Member], Awaitable[Outcome]],
    outcomes: MutableMapping[str, Outcome],
) -> None:
    """Run every stack that has to be, or say why not.

    Args:
        members: the stacks, ordered by wave.
        order: how they follow one another.
        skip_if_current: gives the outcome of a stack that need not be run, None if it has to be. It is called for all
            of them from the start, `order.parallel` at once; each waits for its own answer only, as that of a cluster
            out of reach takes long.
        run_stack: runs one of them to its end; when it is cancelled, it ends with an outcome, too.
        outcomes: by the stack's name; is filled as they come, and complete when this ends, also by being cancelled.
    """

    async def work(waiting: deque[Member], enough: Callable[[], bool]) -> None:
        while waiting and not order.stopped(outcomes) and not _cancelled():
            member = waiting.popleft()
            if await looks[member.name] or order.stopped(outcomes):
                continue
            outcomes[member.name] = await run_stack(member)
            if enough():
                break

    try:
        async with asyncio.TaskGroup() as looking:
            free = asyncio.Semaphore(order.parallel)
            looks = {each.name: looking.create_task(_look(each, free, skip_if_current, outcomes)) for each in members}
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


async def _look(
    member: Member,
    free: asyncio.Semaphore,
    skip_if_current: Callable[[Member], Awaitable[Outcome | None]],
    outcomes: MutableMapping[str, Outcome],
) -> bool:
    """Whether a stack is skipped; if so, `outcomes` has its outcome."""
    async with free:
        if outcome := await skip_if_current(member):
            outcomes[member.name] = outcome
    return outcome is not None


def _cancelled() -> bool:
    """Whether the running task was cancelled, though what it awaited has given an outcome all the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
