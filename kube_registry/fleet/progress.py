"""What a stack is at, and what Pulumi has said of it so far."""

from collections.abc import Callable

from kube_registry.engine.engine_events import EngineEvent, changes_of, error_of, images_of, phase_of
from kube_registry.fleet.outcome import Event, Result, Span
from kube_registry.spec.phases import PHASES, Phase

Tell = Callable[[Event], None]
"""Called with everything that happens, as it happens."""


class Progress:
    """What one stack's part of a run has come to; the attributes are those of its `Outcome`.

    Args:
        stack: its name.
        clock: seconds since the run began.
        tell: called with every line of interest to a person.
    """

    def __init__(self, stack: str, clock: Callable[[], float], tell: Tell) -> None:
        self._stack = stack
        self._clock = clock
        self._tell = tell
        self._begun: list[tuple[Phase, float]] = [(Phase.WAITING, 0.0)]
        self.text = ""
        self.changes: dict[str, int] = {}
        self.images: dict[str, str] = {}
        self.error: str | None = None
        self.lock: str | None = None

    @property
    def phase(self) -> Phase:
        """The phase that it is in."""
        return self._begun[-1][0]

    def say(self, phase: Phase, text: str, result: Result | None = None) -> None:
        """Report something; of several images that are worked on at once, the one that is furthest gives the phase.

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

    def hear(self, event: EngineEvent) -> None:
        """Take note of one of the engine's events."""
        if found := phase_of(event):
            self.say(*found)
        self.error = self.error or error_of(event)
        self.changes = changes_of(event) or self.changes
        self.images = images_of(event) or self.images
