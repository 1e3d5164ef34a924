"""The order of a rollout, with stacks that end when the test says so."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Outcome, Result
from kube_registry.fleet.schedule import Order, roll_out
from kube_registry.spec.settings import Settings

pytestmark = pytest.mark.anyio


def member(name: str) -> Member:
    """The letter is the name of the stack, the number its wave."""
    config: dict[str, object] = {"kubeContext": name, "images": {"app": {}}}
    return Member(name, int(name[1:]), {}, config, Settings.parse(config, project="test", stack=name), "test")


class Stacks:
    """Stacks that run until they are ended; each step of a test sees which have begun."""

    def __init__(self, *names: str, right: str = "", slow: str = "") -> None:
        self.right, self.slow = right.split(), slow.split()
        self.looked = asyncio.Event()
        self.members = [member(name) for name in names]
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[str, asyncio.Future[Result]] = {}
        self.updated: dict[str, Callable[[], None]] = {}
        self.log: list[str] = []
        self._changed = asyncio.Condition()

    async def skip_if_current(self, member: Member) -> Outcome | None:
        if member.name in self.slow:
            await self.looked.wait()
        return Outcome(member.name, member.wave, Result.LEFT_ALONE) if member.name in self.right else None

    async def run_stack(self, member: Member, on_updated: Callable[[], None]) -> Outcome:
        self.updated[member.name] = on_updated
        end = self.running[member.name] = asyncio.get_running_loop().create_future()
        self.log.append(f"{member.name} begins")
        await self._tell()
        try:
            result = await end
        except asyncio.CancelledError:
            self.log.append(f"{member.name} is ended")
            await asyncio.sleep(0)  # ending it takes a while, and is not cut short
            result = Result.CANCELLED
        if result in (Result.SUCCEEDED, Result.UNCHANGED):
            on_updated()
        del self.running[member.name]
        self.log.append(f"{member.name} {result}")
        await self._tell()
        return Outcome(member.name, member.wave, result)

    async def end(self, result: Result, *names: str) -> None:
        for name in names:
            self.running[name].set_result(result)
        async with self._changed:
            await self._changed.wait_for(lambda: not self.running.keys() & set(names))

    async def begun(self, *names: str) -> None:
        """Wait until exactly these run, and see that no other begins of itself."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.running.keys() == set(names))
        for _ in range(20):
            await asyncio.sleep(0)
        assert self.running.keys() == set(names)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def results(self) -> dict[str, str]:
        return {name: str(self.outcomes[name].result) for name in self.outcomes}

    async def roll_out(self, *, parallel: int = 2, max_failures: int = 0, pilot: bool = True) -> None:
        order = Order(parallel, max_failures, pilot)
        async with asyncio.timeout(10):  # one that begins and should not is ended by nobody
            await roll_out(self.members, order, self.skip_if_current, self.run_stack, self.outcomes)


def all_are(result: Result, names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, str(result))


async def test_the_first_goes_alone_then_so_many_at_once_wave_by_wave() -> None:
    stacks = Stacks("a1", "b1", "c1", "d1", "e2", "f2")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(parallel=2))
        await stacks.begun("a1")
        await stacks.end(Result.SUCCEEDED, "a1")
        await stacks.begun("b1", "c1")
        await stacks.end(Result.SUCCEEDED, "c1")
        await stacks.begun("b1", "d1")
        await stacks.end(Result.SUCCEEDED, "d1")
        await stacks.begun("b1")
        await stacks.end(Result.UNCHANGED, "b1")
        await stacks.begun("e2", "f2")
        await stacks.end(Result.SUCCEEDED, "e2", "f2")
    assert stacks.results() == {**all_are(Result.SUCCEEDED, ["a1", "c1", "d1", "e2", "f2"]), "b1": "unchanged"}


async def test_after_a_failure_nothing_new_begins_and_what_runs_goes_on() -> None:
    stacks = Stacks("a1", "b1", "c1", "d1", "e2")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out())
        await stacks.begun("a1")
        await stacks.end(Result.SUCCEEDED, "a1")
        await stacks.begun("b1", "c1")
        await stacks.end(Result.FAILED, "b1")
        await stacks.begun("c1")
        await stacks.end(Result.SUCCEEDED, "c1")
    assert stacks.results() == {
        "a1": "succeeded",
        "b1": "failed",
        "c1": "succeeded",
        "d1": "skipped",
        "e2": "skipped",
    }


async def test_as_many_may_fail_as_is_allowed_and_a_missed_deadline_is_a_failure() -> None:
    stacks = Stacks("a1", "b1", "c2", "d3")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(max_failures=1))
        await stacks.begun("a1")
        await stacks.end(Result.SUCCEEDED, "a1")
        await stacks.begun("b1")
        await stacks.end(Result.FAILED, "b1")
        await stacks.begun("c2")
        await stacks.end(Result.CANCELLED, "c2")
    assert stacks.results() == {"a1": "succeeded", "b1": "failed", "c2": "cancelled", "d3": "skipped"}


async def test_the_others_start_when_the_pilot_is_updated() -> None:
    stacks = Stacks("a1", "b1", "c1", "d2", "e2")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(parallel=2))
        await stacks.begun("a1")
        stacks.updated["a1"]()
        await stacks.begun("a1", "b1")
        await stacks.end(Result.SUCCEEDED, "b1")
        await stacks.begun("a1", "c1")
        await stacks.end(Result.SUCCEEDED, "a1", "c1")
        await stacks.begun("d2", "e2")
        await stacks.end(Result.SUCCEEDED, "d2", "e2")
    assert stacks.results() == all_are(Result.SUCCEEDED, ["a1", "b1", "c1", "d2", "e2"])


async def test_after_a_pilot_that_is_updated_but_not_healthy_only_what_runs_goes_on() -> None:
    stacks = Stacks("a1", "b1", "c1", "d1")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(parallel=2))
        await stacks.begun("a1")
        stacks.updated["a1"]()
        await stacks.begun("a1", "b1")
        await stacks.end(Result.FAILED, "a1")
        await stacks.begun("b1")
        await stacks.end(Result.SUCCEEDED, "b1")
    assert stacks.results() == {"a1": "failed", "b1": "succeeded", **all_are(Result.SKIPPED, ["c1", "d1"])}


async def test_after_a_wave_without_an_update_there_is_another_pilot() -> None:
    stacks = Stacks("a1", "b2", "c2")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(max_failures=1))
        await stacks.begun("a1")
        await stacks.end(Result.FAILED, "a1")
        await stacks.begun("b2")
        await stacks.end(Result.SUCCEEDED, "b2")
        await stacks.begun("c2")
        await stacks.end(Result.SUCCEEDED, "c2")
    assert stacks.results() == {"a1": "failed", **all_are(Result.SUCCEEDED, ["b2", "c2"])}


async def test_a_pilot_that_fails_is_followed_by_another_that_goes_alone() -> None:
    """Or each of the others would build every image at the same time."""
    stacks = Stacks("a1", "b1", "c1", "d1")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(max_failures=1))
        await stacks.begun("a1")
        await stacks.end(Result.FAILED, "a1")
        await stacks.begun("b1")
        await stacks.end(Result.SUCCEEDED, "b1")
        await stacks.begun("c1", "d1")
        await stacks.end(Result.SUCCEEDED, "c1", "d1")
    assert stacks.results() == {**all_are(Result.SUCCEEDED, ["b1", "c1", "d1"]), "a1": "failed"}


async def test_what_builds_nothing_needs_no_pilot() -> None:
    stacks = Stacks("a1", "b1")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out(pilot=False))
        await stacks.begun("a1", "b1")
        await stacks.end(Result.SUCCEEDED, "a1", "b1")


async def test_what_is_current_is_skipped_and_the_first_that_is_not_is_the_pilot() -> None:
    stacks = Stacks("a1", "b1", "c1", "d2", right="a1 d2")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out())
        await stacks.begun("b1")
        await stacks.end(Result.SUCCEEDED, "b1")
        await stacks.begun("c1")
        await stacks.end(Result.SUCCEEDED, "c1")
    assert stacks.results() == {**all_are(Result.LEFT_ALONE, ["a1", "d2"]), **all_are(Result.SUCCEEDED, ["b1", "c1"])}


async def test_the_pilot_waits_for_no_look_at_another_and_what_is_right_is_told_though_nothing_more_begins() -> None:
    stacks = Stacks("a1", "b1", "c1", right="c1", slow="b1 c1")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out())
        await stacks.begun("a1")
        await stacks.end(Result.FAILED, "a1")
        stacks.looked.set()
    assert stacks.results() == {"a1": "failed", "b1": "skipped", "c1": "left alone"}


async def test_after_a_failure_one_that_was_still_looked_at_does_not_begin() -> None:
    stacks = Stacks("a1", "b1", "c1", slow="c1")
    async with asyncio.TaskGroup() as group:
        group.create_task(stacks.roll_out())
        await stacks.begun("a1")
        await stacks.end(Result.SUCCEEDED, "a1")
        await stacks.begun("b1")
        await stacks.end(Result.FAILED, "b1")
        stacks.looked.set()
    assert stacks.results() == {"a1": "succeeded", "b1": "failed", "c1": "skipped"}


@pytest.mark.parametrize("piloted", [True, False])
async def test_told_to_end_it_ends_what_runs_begins_nothing_and_knows_of_every_stack(*, piloted: bool) -> None:
    stacks = Stacks("a1", "b1", "c1", "d2")
    async with asyncio.TaskGroup() as group:
        rollout = group.create_task(stacks.roll_out(max_failures=9))
        await stacks.begun("a1")
        if piloted:
            await stacks.end(Result.SUCCEEDED, "a1")
            await stacks.begun("b1", "c1")
        rollout.cancel()
    assert rollout.cancelled()
    running = ["b1", "c1"] if piloted else ["a1"]
    assert sorted(stacks.log[-2 * len(running) :]) == sorted(
        f"{name} {word}" for name in running for word in ("is ended", "cancelled")
    )
    expected = {**all_are(Result.SKIPPED, ["a1", "b1", "c1", "d2"]), **all_are(Result.CANCELLED, running)}
    if piloted:
        expected["a1"] = "succeeded"
    assert stacks.results() == expected
