"""The soak: what takes too long for a test. `python -m tests.soak`, which is what `make soak` calls.

Every part prints what it saw and writes it into docs/reliability.md. What is drawn by lot follows from the seed.
"""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from lab.errors import run
from lab.progress import Progress, duration
from tests.bench import table
from tests.soak.frozen import freeze
from tests.soak.garbage import litter
from tests.soak.hiccups import hiccup
from tests.soak.idle import stay_idle
from tests.soak.kills import kill
from tests.soak.place import Place, lab
from tests.soak.pulls import pull
from tests.soak.record import record
from tests.soak.replicas import kill_replicas
from tests.soak.stalled import stall

IDLE_SECONDS = 3600.0
KILLS = 20
REPLICAS_SECONDS = 300.0
GARBAGE_SECONDS = 180.0
HICCUPS_SECONDS = 600.0


class Part(StrEnum):
    """What can be asked for by itself."""

    KILLS = "kills"
    PULLS = "pulls"
    REPLICAS = "replicas"
    STALLED = "stalled"
    FROZEN = "frozen"
    GARBAGE = "garbage"
    HICCUPS = "hiccups"
    IDLE = "idle"


commands = typer.Typer(add_completion=False, help=__doc__)


@commands.command()
def soak(
    *,
    seed: Annotated[int | None, typer.Option(help="Decides what is drawn by lot; drawn itself if not given.")] = None,
    only: Annotated[list[Part] | None, typer.Option(help="One part, or some, in place of all.")] = None,
    kills: Annotated[int, typer.Option(min=1, help="How often the registry's pod is killed.")] = KILLS,
    replicas_seconds: Annotated[float, typer.Option(min=1, help="How long replicas are killed.")] = REPLICAS_SECONDS,
    garbage_seconds: Annotated[float, typer.Option(min=1, help="How long garbage is made.")] = GARBAGE_SECONDS,
    hiccups_seconds: Annotated[float, typer.Option(min=1, help="How long updates go on.")] = HICCUPS_SECONDS,
    idle_seconds: Annotated[float, typer.Option(min=1, help="How long nothing happens.")] = IDLE_SECONDS,
) -> None:
    """Run the parts one after the other; the first that fails ends it."""
    progress, start = Progress(), time.monotonic()
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    progress.say(f"seed {seed}; {table.machine()}")
    parts: dict[Part, Callable[[Place], str]] = {
        Part.KILLS: lambda place: asyncio.run(kill(place, seed, kills)),
        Part.PULLS: lambda place: asyncio.run(pull(place, seed, kills)),
        Part.REPLICAS: lambda place: asyncio.run(kill_replicas(place, seed, replicas_seconds)),
        Part.STALLED: lambda place: stall(place, seed),
        Part.FROZEN: lambda place: asyncio.run(freeze(place, seed)),
        Part.GARBAGE: lambda place: asyncio.run(litter(place, seed, garbage_seconds)),
        Part.HICCUPS: lambda place: asyncio.run(hiccup(place, seed, hiccups_seconds)),
        Part.IDLE: lambda place: stay_idle(place, idle_seconds),
    }
    with lab(progress) as place:
        for part in only or list(Part):
            with progress.running(part, "going on"):
                saw = parts[part](place)
            progress.say(saw)
            record(part, f"{datetime.now(UTC).date()}, `python -m tests.soak --only {part} --seed {seed}`: {saw}.")
    progress.say(f"all of it held, in {duration(time.monotonic() - start)}")


if __name__ == "__main__":
    run(commands)
