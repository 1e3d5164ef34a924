"""The progress of a run, shown to a person or to a program."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Event, Result
from kube_registry.fleet.progress import OnEvent
from kube_registry.spec.phases import Phase

REFRESHES = 4
"""How often per second the table is redrawn."""

_COLOURS = {
    Result.SUCCEEDED: "green",
    Result.UNCHANGED: "green",
    Result.LEFT_ALONE: "dim",
    Result.FAILED: "red",
    Result.CANCELLED: "red",
    Result.SKIPPED: "yellow",
}


@contextmanager
def shown(members: Sequence[Member], console: Console, *, as_json: bool) -> Iterator[OnEvent]:
    """Show the progress of a run while the block runs.

    Args:
        members: the stacks.
        console: where a person reads it: a live table on a terminal, lines elsewhere.
        as_json: whether to print it for a program instead: each event as a JSON object, on a line of standard output.
    """
    if as_json:
        yield lambda event: typer.echo(json.dumps(asdict(event)))
    elif console.is_terminal:
        rows = Rows(members)
        with Live(console=console, get_renderable=rows.table, refresh_per_second=REFRESHES, transient=True):
            yield rows.update
    else:
        yield _lines(console)


def _lines(console: Console) -> OnEvent:
    """Return a function that prints a line for each phase of a stack and for its end; only a live table shows more."""
    phases: dict[str, str] = {}

    def print_phase(event: Event) -> None:
        if event.result or phases.get(event.stack, Phase.WAITING) != event.phase:
            phases[event.stack] = event.phase
            console.print(f"{event.at:7.1f} s  {event.stack}  {event.phase}: {event.text}")

    return print_phase


class Rows:
    """The live table: the phase of each stack, how long it has been running, and its latest line."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._last: dict[str, tuple[Event, float]] = {}
        self._begun: dict[str, float] = {}

    def update(self, event: Event) -> None:
        """Record an event."""
        now = time.monotonic()
        self._last[event.stack] = event, now
        if event.phase != Phase.WAITING:
            self._begun.setdefault(event.stack, now)

    def table(self) -> Table:
        """Return the current table."""
        columns = [Column(name, no_wrap=True) for name in ("stack", "phase", "elapsed")]
        text = Column("", ratio=1, no_wrap=True, overflow="ellipsis")
        table = Table(*columns, text, box=None, pad_edge=False, expand=True)
        for member in self._members:
            table.add_row(member.name, *self._cells(member.name))
        return table

    def _cells(self, stack: str) -> tuple[Text, str, Text]:
        if stack not in self._last:
            return Text(Phase.WAITING), "", Text()
        last, at = self._last[stack]
        begun = self._begun.get(stack)
        if last.result is None:
            elapsed = "" if begun is None else _clock(time.monotonic() - begun)
            return Text(last.phase), elapsed, Text(last.text, "dim")
        colour, error = _COLOURS[last.result], last.text.removeprefix(last.result).removeprefix(": ")
        return Text(last.result, colour), _clock(at - (begun or at)), Text(error, colour)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
