"""What a run over a fleet leaves behind: a table for the terminal, JSON for machines, one HTML file for people."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from html import escape
from pathlib import Path
from string import Template

from pydantic import TypeAdapter
from rich.table import Table
from rich.text import Text

from kube_registry.fleet.outcome import Outcome, Result, Run
from kube_registry.fleet.timeline import SIGNS, busy_seconds, timeline
from kube_registry.spec.endpoints import parse_reference

_RUN = TypeAdapter(Run)
_PAGE = Path(__file__).with_name("report.html")

_STYLES = {
    Result.SUCCEEDED: "green",
    Result.UNCHANGED: "green",
    Result.LEFT_ALONE: "green",
    Result.FAILED: "bold red",
    Result.CANCELLED: "bold red",
    Result.SKIPPED: "yellow",
}


def table(run: Run) -> Table:
    """One line for each cluster: its wave, result, seconds without waiting, and its error."""
    shown = Table("cluster", "wave", "result", "seconds", "error", box=None, pad_edge=False)
    shown.columns[1].justify = shown.columns[3].justify = "right"
    for column in shown.columns[:4]:
        column.no_wrap = True  # the error alone is folded where the terminal is narrow: its end says what mends it
    for outcome in run.outcomes:
        shown.add_row(
            Text(_one_line(outcome.stack)),
            str(outcome.wave),
            Text(f"{SIGNS[outcome.result]} {outcome.result}", _STYLES[outcome.result]),
            f"{busy_seconds(outcome):.1f}",
            Text(_one_line(outcome.error or "")),
        )
    return shown


def as_json(run: Run) -> str:
    """The run as JSON; its keys are the fields of Run, Outcome and Span, and docs/fleet.md tells of them."""
    return _RUN.dump_json(run, indent=2).decode()


def digests_differ(run: Run) -> Mapping[str, frozenset[str]]:
    """The images that are not the same bytes in every cluster that has them: name -> their digests."""
    digests: defaultdict[str, set[str]] = defaultdict(set)
    for outcome in run.outcomes:
        for image, reference in outcome.images.items():
            if digest := _digest(reference):
                digests[image].add(digest)
    return {image: frozenset(found) for image, found in digests.items() if len(found) > 1}


def as_html(run: Run) -> str:
    """The run as one HTML file that asks nobody for anything: headline, errors, timeline, references."""
    good = sum(outcome.result.good for outcome in run.outcomes)
    return Template(_PAGE.read_text()).substitute(
        project=escape(run.project),
        verb=escape(run.verb),
        good=good,
        count=len(run.outcomes),
        state="good" if good == len(run.outcomes) else "bad",
        sign="✓" if good == len(run.outcomes) else "✕",
        took=_duration(run.seconds),
        began=run.began.strftime("%Y-%m-%d %H:%M %Z"),
        summary=_summary(run.outcomes),
        errors=_errors(run.outcomes),
        warning=_warning(run) + _remarks(run.outcomes),
        timeline=timeline(run),
        images=_images(run.outcomes),
    )


def _digest(reference: str) -> str | None:
    try:
        return parse_reference(reference).digest
    except ValueError:
        return None


def _one_line(text: str) -> str:
    """A text without line ends and without what would steer a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _duration(seconds: float) -> str:
    if seconds < timedelta(minutes=1).seconds:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _summary(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(outcome.result for outcome in outcomes)
    return ", ".join(f"{counts[result]} {escape(result)}" for result in Result if counts[result])


def _errors(outcomes: Iterable[Outcome]) -> str:
    """What went wrong, whole; stacks that were only not begun share one line."""
    told, not_begun = [], []
    for outcome in outcomes:
        if outcome.error or outcome.lock or not (outcome.result.good or outcome.result is Result.SKIPPED):
            told.append(_error(outcome))
        elif outcome.result is Result.SKIPPED:
            not_begun.append(outcome.stack)
    if not_begun:
        names = escape(", ".join(not_begun))
        told.append(f'<li class="skipped"><h3>{len(not_begun)} not begun</h3><p>{names}</p></li>')
    return f'<h2>What went wrong</h2><ul class="errors">{"".join(told)}</ul>' if told else ""


def _error(outcome: Outcome) -> str:
    words = escape(outcome.error or "It gave no reason.")
    lock = f"<p>It is locked; this releases it: <code>{escape(outcome.lock)}</code></p>" if outcome.lock else ""
    return (
        f"<li><h3>{SIGNS[outcome.result]} {escape(outcome.stack)} <small>{escape(outcome.result)}, "
        f'wave {outcome.wave}</small></h3><p class="words">{words}</p>{lock}</li>'
    )


def _warning(run: Run) -> str:
    names = [escape(name) for name in digests_differ(run)]
    if not names:
        return ""
    return (
        f'<p class="warning">⚠ Not the same in every cluster: <b>{", ".join(names)}</b>. The digests differ; '
        '<a href="#images">which cluster has which</a> is below.</p>'
    )


def _remarks(outcomes: Iterable[Outcome]) -> str:
    """What is no fault and should be known."""
    lines = [f"<b>{escape(each.stack)}</b>: {escape(remark)}" for each in outcomes for remark in each.remarks]
    return "".join(f'<p class="warning">{line}</p>' for line in lines)


def _images(outcomes: Iterable[Outcome]) -> str:
    """Each image's references, and which clusters have which if there are several."""
    images: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        for image, reference in outcome.images.items():
            images[image][reference].append(outcome.stack)
    return "".join(_image(name, references) for name, references in sorted(images.items())) or "<p>None is known.</p>"


def _image(name: str, references: Mapping[str, list[str]]) -> str:
    most_first = sorted(references.items(), key=lambda each: -len(each[1]))
    lines = "".join(
        f"<p><code>{escape(reference)}</code> <small>in {_holders(stacks, named=len(references) > 1)}</small></p>"
        for reference, stacks in most_first
    )
    return f"<h3>{escape(name)}</h3>{lines}"


def _holders(stacks: list[str], *, named: bool) -> str:
    count = "1 cluster" if len(stacks) == 1 else f"{len(stacks)} clusters"
    return f"{count}: {escape(', '.join(stacks))}" if named else count
