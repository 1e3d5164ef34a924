"""The outcome of one run over a fleet: pure values, for the live table, the report and machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kube_registry.spec.phases import Phase


class Result(StrEnum):
    """How a stack's part of a run has ended."""

    SUCCEEDED = "succeeded"
    UNCHANGED = "unchanged"
    """Pulumi ran, nothing changed."""
    LEFT_ALONE = "left alone"
    """It was right already; nothing was run."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """By its deadline or by Ctrl-C."""
    SKIPPED = "skipped"
    """Not begun, because an earlier wave failed or too many have."""

    @property
    def good(self) -> bool:
        """Whether the stack is as it should be."""
        return self in (Result.SUCCEEDED, Result.UNCHANGED, Result.LEFT_ALONE)

    @property
    def state(self) -> str:
        """One of "good", "skipped" and "bad"."""
        return "good" if self.good else "skipped" if self is Result.SKIPPED else "bad"

    @property
    def sign(self) -> str:
        """A sign next to its word: colours alone do not say it to all readers."""
        return {Result.FAILED: "✕", Result.CANCELLED: "■", Result.SKIPPED: "-"}.get(self, "✓")


@dataclass(frozen=True)
class Span:
    """A phase of one stack.

    Args:
        phase: which.
        began: seconds since the run began.
        ended: in the same seconds.
    """

    phase: Phase
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True)
class Event:
    """Something that happens to a stack while it runs.

    Args:
        at: seconds since the run began.
        stack: its name.
        phase: what it is at.
        text: one line.
        result: how its part of the run has ended; None while it goes on.
    """

    at: float
    stack: str
    phase: Phase
    text: str
    result: Result | None = None


@dataclass(frozen=True)
class Outcome:
    """What has become of one stack.

    Args:
        stack: its name.
        wave: the wave that it belongs to.
        result: how it ended.
        spans: what it spent its time with, in order.
        images: name -> pull reference with digest, as its outputs have it; empty if they are not known.
        error: what went wrong, one line.
        lock: the command that releases a lock that is left.
        changes: operation -> number of resources; of a preview, what an update would do.
        remarks: what is no fault and should be known, such as a node that cannot be asked now; one sentence each.
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
        """How long the stack took, without waiting for its turn."""
        return sum(span.seconds for span in self.spans if span.phase != Phase.WAITING)


@dataclass(frozen=True)
class Run:
    """One verb over a fleet.

    Args:
        verb: "up", "refresh" or "destroy".
        project: name of the Pulumi project.
        began: when, with its time zone.
        seconds: how long it took.
        outcomes: of every stack, as the fleet orders them.
    """

    verb: str
    project: str
    began: datetime
    seconds: float
    outcomes: tuple[Outcome, ...]
