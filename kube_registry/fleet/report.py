"""What a run over a fleet leaves behind: a table for the terminal, JSON for machines, one HTML file for people."""

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
"""How many numbers the axis of the timeline has at most; more do not fit a phone."""

_DENSE_FROM = 25
"""From how many clusters on rows of the timeline are low, so that a hundred fit about two screens."""

_LABELLED = 0.09
"""A span of that part of the axis has its phase written in it."""

_RUN = TypeAdapter(Run)
_STYLES = {"good": "green", "bad": "bold red", "skipped": "yellow"}


def table(run: Run) -> Table:
    """One line for each cluster: its wave, result, seconds without waiting, and its error."""
    shown = Table("cluster", "wave", "result", "seconds", "error", box=None, pad_edge=False)
    shown.columns[1].justify = shown.columns[3].justify = "right"
    for column in shown.columns[:4]:
        column.no_wrap = True  # the error alone is folded where the terminal is narrow: its end says what mends it
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
    """The run as JSON; its keys are the fields of Run, Outcome and Span, which docs/fleet.md explains."""
    return _RUN.dump_json(run, indent=2).decode()


def digests_differ(run: Run) -> Mapping[str, frozenset[str]]:
    """The images that are not the same bytes in every cluster that has them: name -> their digests."""
    digests = {
        name: frozenset(reference.partition("@")[2] for reference in references) - {""}
        for name, references in _references(run).items()
    }
    return {name: found for name, found in digests.items() if len(found) > 1}


def as_html(run: Run) -> str:
    """The run as one HTML file that loads nothing else: headline, errors, timeline, references."""
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
    """Seconds from one number of the axis to the next: the finest of 1, 2, 5, 10, … that gives few enough.

    Args:
        length: of the axis, in seconds.
    """
    step, factors = 1.0, cycle((2.0, 2.5, 2.0))
    while length / step > MOST_TICKS:
        step *= next(factors)
    return step


def _references(run: Run) -> Mapping[str, Mapping[str, list[str]]]:
    """The stacks that have each pull reference, by the images' names."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for outcome in run.outcomes:
        for image, reference in outcome.images.items():
            found[image][reference].append(outcome.stack)
    return found


def _printable(text: str) -> str:
    """A text without line ends and without what would steer a terminal."""
    return one_line("".join(each if each.isprintable() else " " for each in text))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if seconds >= 60 else f"{seconds:.1f} s"  # noqa: PLR2004 - a minute
