"""Print the progress of the lab: numbered steps and their durations.

On a terminal a running step is a live line with a clock. Otherwise it prints one line at its start, one every half
minute while it runs ("still building, 90 s"), and one at its end. Steps may run concurrently in threads.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress as LiveLines
from rich.progress import ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

HEARTBEAT_SECONDS = 30.0
"""Interval of the lines of a running step, if there is no terminal."""


@dataclass(frozen=True)
class Took:
    """The duration of a phase, in seconds."""

    name: str
    seconds: float


def duration(seconds: float) -> str:
    """Format seconds: "4.2 s", "42 s", "3 min 30 s"."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter only for short durations
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """The progress output of a command of the lab.

    Args:
        console: where to print; standard error by default, nothing with `Console(quiet=True)`.
        heartbeat: seconds between two lines of a running step, if there is no terminal.
    """

    def __init__(self, console: Console | None = None, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._console = console or Console(stderr=True, highlight=False, markup=False)
        self._heartbeat = heartbeat
        self._live = LiveLines(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            _Clock(),
            console=self._console,
            transient=True,
        )
        self._lock = threading.Lock()
        self.phases: list[Took] = []

    def say(self, line: str) -> None:
        """Print a line, above the live lines."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the duration of the block and add it to `phases`, even if the block fails."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.phases.append(Took(name, time.monotonic() - start))

    def steps(self, total: int) -> "Steps":
        """Return steps that are numbered from 1 to `total`."""
        return Steps(self, total)

    @contextmanager
    def running(self, title: str, doing: str) -> Iterator[None]:
        """Show a step without a number: what is done to `title` ("building"), then its duration."""
        start = time.monotonic()
        try:
            with self._live_line(title, doing) if self._console.is_terminal else self._plain_lines(title, doing):
                yield
        except BaseException:
            self.say(f"{title}: failed after {duration(time.monotonic() - start)}")
            raise
        self.say(f"{title}: {duration(time.monotonic() - start)}")

    @contextmanager
    def _live_line(self, title: str, doing: str) -> Iterator[None]:
        with self._lock:
            task = self._live.add_task(f"{title}: {doing}…", total=None)
            self._live.start()
        try:
            yield
        finally:
            with self._lock:
                self._live.remove_task(task)
                if not self._live.tasks:
                    self._live.stop()

    @contextmanager
    def _plain_lines(self, title: str, doing: str) -> Iterator[None]:
        self.say(f"{title}: {doing}…")
        over = threading.Event()
        start = time.monotonic()

        def beat() -> None:
            while not over.wait(self._heartbeat):
                self.say(f"{title}: still {doing}, {time.monotonic() - start:.0f} s")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@dataclass
class Steps:
    """Steps numbered "[3/9]"; a step gets its number when it starts."""

    progress: Progress
    total: int
    _started: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[None]:
        """Show a step: its subject, and what is done to it ("building")."""
        with self._lock:
            self._started += 1
            title = f"[{self._started}/{self.total}] {name}"
        with self.progress.running(title, doing):
            yield


class _Clock(ProgressColumn):
    """A column with the duration of a live line."""

    def render(self, task: Task) -> Text:
        """Format the duration."""
        return Text(duration(task.elapsed or 0.0))
