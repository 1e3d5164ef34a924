"""What a stack is at, from what the engine tells: phases, and the one line that says what went wrong."""

import re
from collections.abc import Callable

from pulumi.automation import EngineEvent

from kube_registry.fleet.outcome import Event, Result, Span
from kube_registry.spec.phases import PHASES, Phase, read_mark

Tell = Callable[[Event], None]
"""Told of everything that happens, as it happens."""

_IMAGE = "docker:index/image:Image"
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
        self._begun: list[tuple[Phase, float]] = [(Phase.WAITING, 0.0)]
        self.text = ""

    @property
    def phase(self) -> Phase:
        """The phase that it is in."""
        return self._begun[-1][0]

    def say(self, phase: Phase, text: str, result: Result | None = None) -> None:
        """Tell of something; of several images that are worked on at once, the one that is furthest gives the phase.

        Args:
            phase: what this belongs to.
            text: one line.
            result: how the stack's part of the run has ended, if it has.
        """
        now = self._clock()
        if PHASES.index(phase) > PHASES.index(self.phase):
            self._begun.append((phase, now))
        self.text = text
        self._tell(Event(now, self._stack, self.phase, text, result))

    def spans(self) -> tuple[Span, ...]:
        """Each phase so far, the last until now."""
        ends = [*(began for _, began in self._begun[1:]), self._clock()]
        return tuple(Span(phase, began, ended) for (phase, began), ended in zip(self._begun, ends, strict=True))


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


def told(event: EngineEvent) -> tuple[Phase, str] | None:
    """The phase that an event of the engine belongs to, and what it says in one line; None if it is of no interest."""
    if (line := event.diagnostic_event) and line.severity.startswith("info"):
        text = first_line(line.message)
        of_build = (Phase.BUILD, text) if text and f"{_IMAGE}::" in (line.urn or "") else None
        return read_mark(text) or of_build
    if (step := event.resource_pre_event) and step.metadata.op != "same":
        return Phase.REGISTRY, f"{step.metadata.op.value} {step.metadata.type.split(':')[-1]}"
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
