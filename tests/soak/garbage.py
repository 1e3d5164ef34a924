"""Images are pushed while garbage is collected, and whoever does either is killed at random.

Every push and every collection is a process of its own, so that it can be killed as a machine that fails kills it: no
end, no farewell, its entry left in the lease. A collection that takes a single byte of what was handed out is what this
is looking for.
"""

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.errors import LabError
from stack.endpoints import parse_reference
from tests.soak import garbage_work
from tests.soak.place import MANUAL_PORT, Place
from tests.soak.pushes import read_back

PUSHERS = 3
"""Repositories that are pushed to at a time."""

LIMIT_SECONDS = 300.0
"""Whatever takes longer is a hang: it may wait for the dead, and for a collection."""

LATEST_SECONDS = 8.0
"""A push or a collection takes a few seconds; the one that is to be killed is, at some moment of that time."""

KILLED = 0.25
"""The part of the processes that are."""

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
            doomed = self.dice.random() < KILLED
            limit = self.dice.uniform(0, LATEST_SECONDS) if doomed else LIMIT_SECONDS
            status = await _end_of(self.next_work(self.dice), limit)
            if status is None and not doomed:
                raise LabError(f"{self.name} had no end within {LIMIT_SECONDS:.0f} s.")
            how = {0: "whole", None: "killed"}.get(status, "failed")
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
        if await _end_of(collecting, LIMIT_SECONDS) != 0:
            raise LabError("The last collection, which nobody has killed, failed.")
        references = list(map(parse_reference, garbage_work.handed_out(folder).values()))
    for image in references:
        await read_back(place, str(image.digest), image.repository)
    if not (references and collections.seen["whole"]):
        raise LabError("No image was handed out, or no collection came to its end.")
    pushed = sum((lane.seen for lane in pushes), Counter[str]())
    return (
        f"{seconds:.0f} s of pushes to {PUSHERS} repositories ({_told(pushed)}) and of collections "
        f"({_told(collections.seen)}); all {len(references)} images that were handed out last are whole"
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


async def _end_of(work: Work, limit: float) -> int | None:
    """Exit status of a process; None if it had to be killed after so many seconds."""
    process = _SPAWN.Process(target=work)
    process.start()
    await asyncio.to_thread(process.join, limit)
    if process.is_alive():
        process.kill()
        await asyncio.to_thread(process.join)
        return None
    return process.exitcode


def _told(seen: Counter[str]) -> str:
    return ", ".join(f"{count} {how}" for how, count in sorted(seen.items()))
