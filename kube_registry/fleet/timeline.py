"""The timeline of a run in HTML: one row a cluster, coloured spans over one axis of seconds, waves parted.

Places and widths are per cent of the axis, so that the same text fits a phone and a wide screen.
"""

from html import escape
from itertools import groupby

from kube_registry.fleet.outcome import Outcome, Result, Run, Span
from kube_registry.spec.phases import PHASES, Phase

SIGNS = {
    Result.SUCCEEDED: "✓",
    Result.UNCHANGED: "✓",
    Result.LEFT_ALONE: "✓",
    Result.FAILED: "✕",
    Result.CANCELLED: "■",
    Result.SKIPPED: "-",
}
"""A result's sign beside its word: colour alone tells nobody anything."""

MOST_TICKS = 6
"""How many numbers the axis has at most; more do not fit a phone."""

DENSE_FROM = 25
"""From how many clusters on rows are low, so that a hundred fit about two screens."""

LABEL_PER_CENT = 9.0
"""A span as wide as that has its phase written in it."""


def busy_seconds(outcome: Outcome) -> float:
    """How many seconds a stack has taken, without waiting for its turn."""
    return sum(span.ended - span.began for span in outcome.spans if span.phase != Phase.WAITING)


def timeline(run: Run) -> str:
    """The axis, its legend and a row for each cluster of a run."""
    length = _length(run)
    step = tick_step(length)
    waves = "".join(
        _wave(wave, list(outcomes), length)
        for wave, outcomes in groupby(sorted(run.outcomes, key=lambda each: each.wave), key=lambda each: each.wave)
    )
    kind = "timeline dense" if len(run.outcomes) >= DENSE_FROM else "timeline"
    return (
        f'<div class="{kind}" style="--step:{100 * step / length:.4f}%">'
        f'<div class="head">{_legend()}{_axis(step, length)}</div>{waves}</div>'
    )


def tick_step(length: float) -> float:
    """Seconds from one number of the axis to the next: the finest of 1, 2, 5, 10, … that gives few enough.

    Args:
        length: of the axis, in seconds.
    """
    step = 1.0
    factors = (2.0, 2.5, 2.0)
    for turn in range(30):
        if length / step <= MOST_TICKS:
            break
        step *= factors[turn % len(factors)]
    return step


def _length(run: Run) -> float:
    ends = (span.ended for outcome in run.outcomes for span in outcome.spans)
    return max(run.seconds, *ends, 0.001) if run.outcomes else max(run.seconds, 0.001)


def _legend() -> str:
    entries = "".join(
        f'<span class="entry"><i class="p{number}"></i>{escape(phase)}</span>' for number, phase in enumerate(PHASES)
    )
    return f'<div class="legend">{entries}</div>'


def _axis(step: float, length: float) -> str:
    numbers = "".join(
        f'<span style="left:{100 * step * tick / length:.4f}%">{step * tick:.0f}{"" if tick else " s"}</span>'
        for tick in range(int(length / step) + 1)
    )
    return f'<div class="row axis"><div></div><div class="track">{numbers}</div><div></div></div>'


def _wave(wave: int, outcomes: list[Outcome], length: float) -> str:
    good = sum(outcome.result.good for outcome in outcomes)
    rows = "".join(_row(outcome, length) for outcome in outcomes)
    return f"<section><h3>Wave {wave} <small>{good} of {len(outcomes)} good</small></h3>{rows}</section>"


def _row(outcome: Outcome, length: float) -> str:
    name = escape(outcome.stack)
    spans = "".join(_span(span, length) for span in outcome.spans)
    state = "good" if outcome.result.good else "skipped" if outcome.result is Result.SKIPPED else "bad"
    busy = busy_seconds(outcome)
    took = f"{busy:.0f} s" if busy else ""
    return (
        f'<div class="row {state}"><div class="name" title="{name}">{name}</div><div class="track">{spans}</div>'
        f'<div class="result">{SIGNS[outcome.result]} {escape(outcome.result)} <span class="took">{took}</span>'
        "</div></div>"
    )


def _span(span: Span, length: float) -> str:
    number = PHASES.index(span.phase)
    width = 100 * (span.ended - span.began) / length
    words = f"{span.phase}: {span.ended - span.began:.1f} s, from {span.began:.1f} s to {span.ended:.1f} s"
    label = f"<b>{escape(span.phase)}</b>" if number and width >= LABEL_PER_CENT else ""
    return (
        f'<i class="p{number}" style="left:{100 * span.began / length:.4f}%;width:{width:.4f}%"'
        f' title="{escape(words)}">{label}</i>'
    )
