"""The report of a run over a fleet: a table for the terminal, JSON for programs, one HTML file for people."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

from pydantic import TypeAdapter
from rich.table import Table
from rich.text import Text

from kube_registry.fleet.outcome import Result, Run
from kube_registry.spec.phases import PHASES
from kube_registry.text import one_line

MOST_TICKS = 6
"""The most numbers on the axis of the timeline; more do not fit on a phone."""

_DENSE_FROM = 25
"""Number of clusters from which the rows of the timeline are low, so that a hundred fit on about two screens."""

_LABELLED = 0.09
"""Spans shorter than this fraction of the axis do not show the name of their phase."""

_RUN = TypeAdapter(Run)
_STYLES = {"good": "green", "bad": "bold red", "skipped": "yellow"}


def table(run: Run) -> Table:
    """Return a table with a line for each cluster: wave, result, seconds without waiting, and error."""
    shown = Table("cluster", "wave", "result", "seconds", "error", box=None, pad_edge=False)
    shown.columns[1].justify = shown.columns[3].justify = "right"
    for column in shown.columns[:4]:
        column.no_wrap = True  # only the error wraps on a narrow terminal: it ends with the fix
    for outcome in run.outcomes:
        result = outcome.result
        shown.add_row(
            Text(_printable(outcome.stack)),
            str(outcome.wave),
            Text(f"{result.sign} {result}", _STYLES[result.state]),
            f"{outcome.busy_seconds:.1f}",
            Text(_printable(outcome.error or "")),
        )
    return shown


def as_json(run: Run) -> str:
    """Return the run as JSON; its keys are the fields of Run, Outcome and Span, which docs/fleet.md explains."""
    return _RUN.dump_json(run, indent=2).decode()


def digests_differ(run: Run) -> Mapping[str, frozenset[str]]:
    """Return the images whose digest differs between clusters: name -> digests."""
    digests = {
        name: frozenset(reference.partition("@")[2] for reference in references) - {""}
        for name, references in _references(run).items()
    }
    return {name: found for name, found in digests.items() if len(found) > 1}


def as_html(run: Run) -> str:
    """Return the run as one HTML file without external resources: headline, errors, timeline, references."""
    import jinja2  # noqa: PLC0415 - only where a report is written

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    pages = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    counts = Counter(outcome.result for outcome in run.outcomes)
    good = sum(outcome.result.good for outcome in run.outcomes)
    length = max(run.seconds, 0.001, *(span.ended for outcome in run.outcomes for span in outcome.spans))
    return pages.get_template("report.html.j2").render(
        run=run,
        good=good,
        all_good=good == len(run.outcomes),
        took=_duration(run.seconds),
        summary=", ".join(f"{counts[result]} {result}" for result in Result if counts[result]),
        wrong=[each for each in run.outcomes if each.error or each.lock or each.result.state == "bad"],
        not_begun=[each.stack for each in run.outcomes if each.result is Result.SKIPPED and not each.error],
        differing=digests_differ(run),
        phases=PHASES,
        length=length,
        step=tick_step(length),
        dense=len(run.outcomes) >= _DENSE_FROM,
        labelled=_LABELLED * length,
        images=[
            (name, sorted(references.items(), key=lambda each: -len(each[1])))
            for name, references in sorted(_references(run).items())
        ],
    )


def tick_step(length: float) -> float:
    """Return the seconds between two numbers of the axis: the smallest of 1, 2, 5, 10, … that gives few enough.

    Args:
        length: length of the axis in seconds.
    """
    step, factors = 1.0, cycle((2.0, 2.5, 2.0))
    while length / step > MOST_TICKS:
        step *= next(factors)
    return step


def _references(run: Run) -> Mapping[str, Mapping[str, list[str]]]:
    """Return image name -> pull reference -> stacks that have it."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for outcome in run.outcomes:
        for image, reference in outcome.images.items():
            found[image][reference].append(outcome.stack)
    return found


def _printable(text: str) -> str:
    """Return a text without line ends and terminal control characters."""
    return one_line("".join(each if each.isprintable() else " " for each in text))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if seconds >= 60 else f"{seconds:.1f} s"  # noqa: PLR2004 - a minute
