"""The bench: measures how long the program takes, and how long the same takes without it.

`python -m tests.bench`, which is what `make bench` calls; `python -m tests.bench tunnels` measures one table alone. It
prints the tables and writes them into docs/performance.md.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab.errors import run
from lab.progress import Progress, duration
from lab.pulumi_home import provide_plugins
from lab.toolchain import provide
from tests.bench import edits, far, fleet, images, many, saved, scale, shared, table, tunnels, uses
from tests.bench.door import with_open_door
from tests.bench.life import Life, end
from tests.bench.places import copy_bare, copy_ours, settings, write_resources

commands = typer.Typer(add_completion=False, help=__doc__)


class Name(StrEnum):
    """A table, in the order of docs/performance.md."""

    SAVED = "saved"
    LIVES = "lives"
    FLEET = "fleet"
    IMAGES = "images"
    TUNNELS = "tunnels"
    FAR = "far"
    MANY = "many"
    SCALE = "scale"
    USES = "uses"
    SHARED = "shared"


REPETITIONS = {
    Name.SAVED: 5,
    Name.LIVES: 5,
    Name.FLEET: 3,
    Name.IMAGES: 3,
    Name.TUNNELS: 5,
    Name.FAR: 3,
    Name.MANY: 2,
    Name.SCALE: 3,
    Name.USES: 3,
    Name.SHARED: 3,
}
"""Samples of every row, if the command names no other number; fewer where a sample takes minutes."""


@commands.command()
def bench(
    names: Annotated[list[Name] | None, typer.Argument(help="Tables; all if none is named.")] = None,
    repetitions: Annotated[int | None, typer.Option(min=1, help="Samples of every row; 2 to 5 by default.")] = None,
) -> None:
    """Measure what takes turns with what it is compared to, print the tables and write them down."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # it would cost every program a compilation
    progress = Progress()
    provide(progress)
    provide_plugins(progress)
    for name in names or list(Name):
        start, machine, samples = time.monotonic(), table.machine(), repetitions or REPETITIONS[name]
        lines = MEASURES[name](samples, progress)
        took = f"medians of {samples} (min-max), {duration(time.monotonic() - start)} in all"
        show(lines)
        asked = f"`python -m tests.bench {name} --repetitions {samples}`"
        table.write(lines, name, f"{asked}: {machine}; {took}")


def lives(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table that compares kube-registry with the baseline."""
    with tempfile.TemporaryDirectory(prefix="kube-registry-bench-") as folder:
        try:
            return measure(Path(folder), repetitions, progress)
        finally:
            end()


def measure(folder: Path, repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; samples alternate, so that other load on the machine affects both."""
    backend = folder / "state"
    ours = Life("kube-registry", copy_ours(folder / "ours"), backend, edits.of_ours)
    baseline = Life("bare", copy_bare(folder / "bare"), backend, edits.of_baseline)
    steps = progress.steps(2 * repetitions)
    of_ours, of_baseline = [], []
    for _ in range(repetitions):
        with steps.step("ours", "measuring"):
            of_ours.append(ours.sample())
        write_resources(backend, baseline.project)
        with steps.step("the baseline", "measuring"):
            of_baseline.append(with_open_door(settings(), baseline.sample))
    return table.lines(of_ours, of_baseline)


MEASURES = {
    Name.SAVED: saved.measure,
    Name.LIVES: lives,
    Name.FLEET: fleet.measure,
    Name.IMAGES: images.measure,
    Name.TUNNELS: tunnels.measure,
    Name.FAR: far.measure,
    Name.MANY: many.measure,
    Name.SCALE: scale.measure,
    Name.USES: uses.measure,
    Name.SHARED: shared.measure,
}
"""What measures each table: samples of every row -> its lines."""


def show(lines: Sequence[Sequence[str]]) -> None:
    """Print the table."""
    head, *body = lines
    drawn = Table(*head, box=None, pad_edge=False)
    for line in body:
        drawn.add_row(*line)
    Console(highlight=False, markup=False, width=200).print(drawn)


if __name__ == "__main__":
    run(commands)
