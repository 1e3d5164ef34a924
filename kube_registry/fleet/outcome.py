"""The outcome of one run over a fleet: plain values, for the live table, the report and programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kube_registry.spec.phases import Phase


class Result(StrEnum):
    """How the run of a stack ended."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    """Pulumi ran and changed nothing."""
    LEFT_ALONE = "left alone"
    """The stack was up to date and healthy, so Pulumi did not run."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """By its deadline or by Ctrl-C."""
    SKIPPED = "skipped"
    """Not started, because too many stacks had failed or the run was interrupted."""

    @property
    def good(self) -> bool:
        """Whether the run of the stack succeeded, or was not needed."""
        return self in (Result.SUCCEEDED, Result.UNCHANGED, Result.LEFT_ALONE)

    @property
    def state(self) -> str:
        """One of "good", "skipped" and "bad"."""
        return "good" if self.good else "skipped" if self is Result.SKIPPED else "bad"

    @property
    def sign(self) -> str:
        """A sign to show next to the word, as not all readers see colours."""
        return {Result.FAILED: "✕", Result.CANCELLED: "■", Result.SKIPPED: "-"}.get(self, "✓")


@dataclass(frozen=True)
class Span:
    """A phase of one stack.

    Args:
        phase: the phase.
        began: seconds from the start of the run to its start.
        ended: seconds from the start of the run to its end.
    """

    phase: Phase
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.ended - self.began


@dataclass(frozen=True)
class Event:
    """Something that happens to a stack while it runs.

    Args:
        at: seconds since the run began.
        stack: its name.
        phase: its current phase.
        text: one line.
        result: how its run ended; None while it runs.
    """

    at: float
    stack: str
    phase: Phase
    text: str
    result: Result | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome of one stack.

    Args:
        stack: its name.
        wave: its wave.
        result: how its run ended.
        spans: its phases, in order.
        images: name -> pull reference with digest, from its outputs; empty if they are unknown.
        error: what went wrong, in one line.
        lock: the command that releases a lock that is left.
        changes: operation -> number of resources.
        remarks: what the user should know although it is not a fault, such as a node that cannot prove its pull now;
            one sentence each.
    """

    stack: str
    wave: int
    result: Result
    spans: tuple[Span, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    lock: str | None = None
    changes: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def busy_seconds(self) -> float:
        """Seconds that the stack took, without the wait for its turn."""
        return sum(span.seconds for span in self.spans if span.phase != Phase.WAITING)


@dataclass(frozen=True)
class Run:
    """A run over a fleet.

    Args:
        verb: "up", "refresh" or "destroy".
        project: name of the Pulumi project.
        began: when it began, with time zone.
        seconds: how long it took.
        outcomes: outcome of every stack, in the order of the fleet.
    """

    verb: str
    project: str
    began: datetime
    seconds: float
    outcomes: tuple[Outcome, ...]
