"""The rows of the bench's first table, with medians, ranges and the baseline, and the table's place in the docs."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.errors import LabError

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- `python -m {} {}` writes from here -->", "<!-- to here -->"

HEAD = ("what", "kube-registry, s", "baseline, s", "ratio", "the baseline is")


@dataclass(frozen=True)
class Row:
    """One measured quantity, and its baseline."""

    what: str
    baseline: str


_EDITED = "one file edited, until pods on both nodes run it"

FROM_NOTHING = Row("`make up`, cluster and Docker engine down", "the same with the flat program")
FIRST_UP = Row("its `pulumi up`, all resources new", "`pulumi up` of the flat program")
AGAIN = Row("`make up` again, nothing changed", "the same with the flat program")
NO_CHANGE = Row("`pulumi up`, nothing changed", "the same with the flat program")
PREVIEW = Row("`pulumi preview`, nothing changed", "the same with the flat program")
EDIT = Row(_EDITED, "`pulumi up` of the flat program, then of its downstream")
EDIT_BY_HAND = Row(_EDITED, "build, push and a pod on each node, without Pulumi")
IMPORT = Row("the imports of the program", "the imports of the flat program")

ROWS = (FROM_NOTHING, FIRST_UP, AGAIN, NO_CHANGE, PREVIEW, EDIT, EDIT_BY_HAND, IMPORT)

Times = Mapping[Row, float]
"""The seconds of one sample of each row."""


def lines(ours: Sequence[Times], baseline: Sequence[Times]) -> list[tuple[str, ...]]:
    """The table's lines; the first is its head."""
    body = []
    for row in ROWS:
        mine, bare = [sample[row] for sample in ours], [sample[row] for sample in baseline]
        ratio = statistics.median(mine) / statistics.median(bare)
        body.append((row.what, spread(mine, 2), spread(bare, 2), f"{ratio:.2f}", row.baseline))
    return [HEAD, *body]


def machine() -> str:
    """What it was measured on, and how busy that was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before the first sample"
    )


def write(
    lines: Sequence[Sequence[str]], name: str, how: str, document: Path = DOCUMENT, *, module: str = "tests.bench"
) -> None:
    """Put a table into the document, in the place of the one before.

    Args:
        lines: the first is its head.
        name: the table's, which its place in the document bears.
        how: the command that measured it, and what it was measured on.
        document: the file.
        module: what writes it.

    Raises:
        LabError: the document has no place for it.
    """
    marker = BEGIN.format(module, name)
    before, begin, rest = document.read_text().partition(marker)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise LabError(f"{document} has no lines {marker} and {END} to put the table between; add them.")
    head, *body = (f"| {' | '.join(cells)} |" for cells in lines)
    section = [f"{datetime.now(UTC).date()}, {how}.", "", head, "|" + "---|" * len(lines[0]), *body]
    document.write_text("\n".join([f"{before}{begin}", *section, f"{end}{after}"]))


def spread(samples: Sequence[float], digits: int = 1) -> str:
    """Median, least and most of some samples."""
    return "{:.{n}f} ({:.{n}f}-{:.{n}f})".format(statistics.median(samples), min(samples), max(samples), n=digits)
