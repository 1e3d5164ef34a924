"""Images are pushed while garbage is collected, and processes that do either are killed or stopped at random.

Every push and every collection is a process of its own, so that it can be killed as a machine that fails kills it: no
end, no farewell, its entry left in the lease. Others are stopped for longer than the lease and go on, as on a laptop
that was asleep. A collection that takes a single byte of what was handed out is what this is looking for.
"""

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from kube_registry.spec.endpoints import parse_reference
from lab.errors import LabError
from tests.soak import garbage_work
from tests.soak.place import MANUAL_PORT, Place
from tests.soak.pushes import read_back

PUSHERS = 3
"""Repositories that are pushed to at a time."""

LIMIT_SECONDS = 300.0
"""Whatever takes longer is a hang: it may wait for the dead, and for a collection."""

LATEST_SECONDS = 8.0
"""A push or a collection takes a few seconds; the one that is to be killed is, at some moment of that time."""

KILLED, ASLEEP = 0.25, 0.15
"""The parts of the processes that are killed, and that are stopped for a while."""

SHORTEST_SLEEP, LONGEST_SLEEP = 15.0, 45.0
"""Seconds; others enter after 30."""

_LAYERS, _CHOICES = 3, 2
_SPAWN = multiprocessing.get_context("spawn")

Work = Callable[[], None]


@dataclass(frozen=True)
class Lane:
    """One process after the other.

    Args:
        name: for people.
        dice: decide what each does, whether it is killed and when.
        next_work: what the next one does.
        seen: how they ended.
    """

    name: str
    dice: random.Random
    next_work: Callable[[random.Random], Work]
    seen: Counter[str] = field(default_factory=Counter)

    async def go(self, place: Place, seconds: float) -> None:
        """Start processes until the time is up.

        Raises:
            LabError: one hung.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fate = self.dice.random()
            doomed, asleep = fate < KILLED, KILLED <= fate < KILLED + ASLEEP
            moment = self.dice.uniform(0, LATEST_SECONDS)
            sleep = self.dice.uniform(SHORTEST_SLEEP, LONGEST_SLEEP)
            with _started(self.next_work(self.dice)) as process:
                status = await _end_of(process, moment if doomed or asleep else LIMIT_SECONDS)
                asleep = asleep and status is None
                if asleep:
                    await _stopped(process, sleep)
                    status = await _end_of(process, LIMIT_SECONDS)
            if status is None and not doomed:
                raise LabError(f"{self.name} had no end within {LIMIT_SECONDS:.0f} s.")
            how = {0: "succeeded", None: "killed"}.get(status, "failed") + (" after a pause" if asleep else "")
            self.seen[how] += 1
            place.progress.say(f"{self.name}: {how}")


async def litter(place: Place, seed: int, seconds: float) -> str:
    """Push and collect until the time is up, and read everything that was handed out.

    Args:
        place: the lab.
        seed: decides which layers an image has, who is killed and when.
        seconds: how long processes are started.

    Raises:
        LabError: something that was handed out is not whole, or something hung.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        pushes = [_pushing(place, folder, seed, number) for number in range(1, PUSHERS + 1)]
        collecting = partial(garbage_work.collect_garbage, place.settings, folder)
        collections = Lane("gc", random.Random(f"{seed} gc"), lambda _: collecting)  # noqa: S311 - no secret
        async with asyncio.TaskGroup() as group:
            for lane in (*pushes, collections):
                group.create_task(lane.go(place, seconds))
        with _started(collecting) as process:
            if await _end_of(process, LIMIT_SECONDS) != 0:
                raise LabError("The last collection, which nobody has killed, failed.")
        references = list(map(parse_reference, garbage_work.handed_out(folder).values()))
    for image in references:
        await read_back(place, str(image.digest), image.repository)
    if not (references and collections.seen["succeeded"]):
        raise LabError("No image was handed out, or no collection came to its end.")
    pushed = sum((lane.seen for lane in pushes), Counter[str]())
    return (
        f"{seconds:.0f} s of pushes to {PUSHERS} repositories ({_counted(pushed)}) and of collections "
        f"({_counted(collections.seen)}); the {len(references)} images recorded last are complete"
    )


def _pushing(place: Place, folder: Path, seed: int, number: int) -> Lane:
    """Pushes to a repository of their own, of images whose layers others have too, all but one."""
    settings = place.settings.model_copy(update={"push_port": MANUAL_PORT + number})
    repository = f"soak/{number}"

    def next_push(dice: random.Random) -> Work:
        shared = [f"layer {layer}, choice {dice.randrange(_CHOICES)}" for layer in range(_LAYERS)]
        layers = [*shared, f"of its own {dice.random()}"]
        return partial(garbage_work.push, settings, place.docker_host, folder, repository, layers)

    return Lane(repository, random.Random(f"{seed} {number}"), next_push)  # noqa: S311 - nothing is kept secret with it


@contextmanager
def _started(work: Work) -> Iterator[SpawnProcess]:
    """A process, killed at the end if it still runs."""
    process = _SPAWN.Process(target=work)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


async def _end_of(process: SpawnProcess, limit: float) -> int | None:
    """Exit status of a process; None if it has none after so many seconds."""
    await asyncio.to_thread(process.join, limit)
    return process.exitcode


async def _stopped(process: SpawnProcess, seconds: float) -> None:
    """Let a process stand still for a while, as a machine does that sleeps."""
    assert process.pid
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(process.pid, signal.SIGCONT)


def _counted(seen: Counter[str]) -> str:
    return ", ".join(f"{count} {how}" for how, count in sorted(seen.items()))
