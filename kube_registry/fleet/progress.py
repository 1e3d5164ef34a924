"""The phase of a stack, and what Pulumi has reported of it so far."""

from collections.abc import Callable

from kube_registry.engine.engine_events import EngineEvent, changes_of, error_of, images_of, phase_of
from kube_registry.fleet.outcome import Event, Result, Span
from kube_registry.spec.phases import PHASES, Phase

OnEvent = Callable[[Event], None]
"""Called with every event when it happens."""


class Progress:
    """The progress of one stack in a run; the attributes are those of its `Outcome`.

    Args:
        stack: its name.
        clock: returns the seconds since the run began.
        on_event: called with every line worth showing.
    """

    def __init__(self, stack: str, clock: Callable[[], float], on_event: OnEvent) -> None:
        self._stack = stack
        self._clock = clock
        self._on_event = on_event
        self._begun: list[tuple[Phase, float]] = [(Phase.WAITING, 0.0)]
        self.text = ""
        self.changes: dict[str, int] = {}
        self.images: dict[str, str] = {}
        self.error: str | None = None
        self.lock: str | None = None

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self._begun[-1][0]

    def report(self, phase: Phase, text: str, result: Result | None = None) -> None:
        """Report an event. The phase never goes back: several images may be in different phases at once.

        Args:
            phase: phase of the event.
            text: one line.
            result: how the run of the stack ended, if it has.
        """
        now = self._clock()
        if PHASES.index(phase) > PHASES.index(self.phase):
            self._begun.append((phase, now))
        self.text = text
        self._on_event(Event(now, self._stack, self.phase, text, result))

    def spans(self) -> tuple[Span, ...]:
        """Return the phases so far; the last one lasts until now."""
        ends = [*(began for _, began in self._begun[1:]), self._clock()]
        return tuple(Span(phase, began, ended) for (phase, began), ended in zip(self._begun, ends, strict=True))

    def record(self, event: EngineEvent) -> None:
        """Record an event of the engine."""
        if found := phase_of(event):
            self.report(*found)
        self.error = self.error or error_of(event)
        self.changes = changes_of(event) or self.changes
        self.images = images_of(event) or self.images
