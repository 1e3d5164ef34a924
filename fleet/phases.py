"""What a stack is at, from what the engine tells: phases, and the one line that says what went wrong."""

import re
from collections.abc import Callable
from itertools import pairwise

from pulumi.automation import EngineEvent

from fleet.outcome import PHASES, Event, Span

Tell = Callable[[Event], None]
"""Told of everything that happens, as it happens."""

_IMAGE = "docker:index/image:Image"
_LINES = {
    "waiting for the registry": "registry",
    "waiting for the node proxy": "registry",
    "waiting for an answer on": "preflight",
    "waiting for every node": "preflight",
    "waiting for the Docker daemon": "preflight",
    "reading the image back": "reading back",
}
"""How the lines begin that components/hooks.py has written on the rows -> the phase that they belong to."""

_HOOK = re.compile(r'^(before|after|error) hook "[^"]*" failed: ')
_SAYS_NOTHING = ("an unhandled error occurred: program exited", "update failed", "resource monitor shut down")


class Course:
    """The phases that one stack goes through, as they are told.

    Args:
        stack: its name.
        clock: seconds since the run began.
        tell: told of every line.
    """

    def __init__(self, stack: str, clock: Callable[[], float], tell: Tell) -> None:
        self._stack = stack
        self._clock = clock
        self._tell = tell
        self._begun: list[tuple[str, float]] = [(PHASES[0], 0.0)]
        self.text = ""

    @property
    def phase(self) -> str:
        """The phase that it is in."""
        return self._begun[-1][0]

    def say(self, phase: str, text: str) -> None:
        """Tell of something; of several images that are worked on at once, the one that is furthest gives the phase."""
        now = self._clock()
        if PHASES.index(phase) > PHASES.index(self.phase):
            self._begun.append((phase, now))
        self.text = text
        self._tell(Event(now, self._stack, self.phase, text))

    def spans(self) -> tuple[Span, ...]:
        """Each phase so far, the last until now."""
        ends = [*self._begun, ("", self._clock())]
        return tuple(Span(phase, began, ended) for (phase, began), (_, ended) in pairwise(ends))


class Heard:
    """What one run of Pulumi has told so far; called with each of the engine's events.

    Args:
        course: told of what is of interest to a person.
    """

    def __init__(self, course: Course) -> None:
        self.course = course
        self.changes: dict[str, int] = {}
        self.images: dict[str, str] = {}
        self.error: str | None = None

    def __call__(self, event: EngineEvent) -> None:
        """Take note of an event."""
        if found := told(event):
            self.course.say(*found)
        self.error = self.error or error_of(event)
        if summary := event.summary_event:
            self.changes = {str(kind): count for kind, count in summary.resource_changes.items() if kind != "same"}
        if (done := event.res_outputs_event) and done.metadata.type == "pulumi:pulumi:Stack" and done.metadata.new:
            self.images = dict((done.metadata.new.outputs or {}).get("images") or {})


def told(event: EngineEvent) -> tuple[str, str] | None:
    """The phase that an event of the engine belongs to, and what it says in one line; None if it is of no interest."""
    if (line := event.diagnostic_event) and line.severity.startswith("info"):
        text = first_line(line.message)
        known = [phase for begin, phase in _LINES.items() if text.startswith(begin)]
        phase = known[0] if known else "build" if f"{_IMAGE}::" in (line.urn or "") else None
        return (phase, text) if phase and text else None
    if (step := event.resource_pre_event) and step.metadata.op != "same":
        return "registry", f"{step.metadata.op.value} {step.metadata.type.split(':')[-1]}"
    return None


def error_of(event: EngineEvent) -> str | None:
    """The sentence of an error, if an event is one."""
    line = event.diagnostic_event
    if not line or line.severity != "error":
        return None
    text = _HOOK.sub("", first_line(line.message))
    return None if text.startswith(_SAYS_NOTHING) else text


def first_line(text: str) -> str:
    """What stands in the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
