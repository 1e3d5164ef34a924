"""What a person or a machine sees of a run while it goes on."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Event, Outcome, Result
from kube_registry.fleet.phases import Tell
from kube_registry.spec.phases import Phase

REFRESHES = 4
"""How often a second the table is drawn anew."""

_COLOURS = {
    Result.SUCCEEDED: "green",
    Result.UNCHANGED: "green",
    Result.LEFT_ALONE: "dim",
    Result.FAILED: "red",
    Result.CANCELLED: "red",
    Result.SKIPPED: "yellow",
}


def json_lines(file: TextIO) -> Tell:
    """Tells every event to a machine, one JSON object a line."""
    return lambda event: print(json.dumps(asdict(event)), file=file, flush=True)


@contextmanager
def shown(members: Sequence[Member], outcomes: Mapping[str, Outcome], console: Console) -> Iterator[Tell]:
    """Shows a run to a person: a table that is kept true on a terminal, lines elsewhere.

    Args:
        members: the stacks.
        outcomes: what has become of them, as far as they are done.
        console: where it is shown.
    """
    if not console.is_terminal:
        yield _Lines(console)
        return
    rows = _Rows(members, outcomes)
    with Live(console=console, get_renderable=rows.table, refresh_per_second=REFRESHES, transient=True):
        yield rows.tell


class _Lines:
    """A line for every phase of a stack and for its end; what it tells in between is for those who watch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phases: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        if event.result or self._phases.get(event.stack, Phase.WAITING) != event.phase:
            self._phases[event.stack] = event.phase
            self._console.print(f"{event.at:7.1f} s  {event.stack}  {event.phase}: {event.text}")


class _Rows:
    """The table: what every stack is at, for how long, and what it has to say."""

    def __init__(self, members: Sequence[Member], outcomes: Mapping[str, Outcome]) -> None:
        self._members = members
        self._outcomes = outcomes
        self._last: dict[str, Event] = {}
        self._begun: dict[str, float] = {}

    def tell(self, event: Event) -> None:
        self._last[event.stack] = event
        if event.phase != Phase.WAITING:
            self._begun.setdefault(event.stack, time.monotonic())

    def table(self) -> Table:
        table = Table(box=None, pad_edge=False, expand=True)
        for name in ("stack", "phase", "elapsed"):
            table.add_column(name, no_wrap=True)
        table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis")
        for member in self._members:
            table.add_row(member.name, *self._cells(member.name))
        return table

    def _cells(self, stack: str) -> tuple[Text, str, Text]:
        last = self._last.get(stack)
        if outcome := self._outcomes.get(stack):
            seconds = sum(span.ended - span.began for span in outcome.spans if span.phase != Phase.WAITING)
            colour = _COLOURS[outcome.result]
            return Text(outcome.result, colour), _clock(seconds), Text(outcome.error or "", colour)
        begun = self._begun.get(stack)
        elapsed = _clock(time.monotonic() - begun) if begun is not None else ""
        return Text(last.phase if last else Phase.WAITING), elapsed, Text(last.text if last else "", "dim")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
