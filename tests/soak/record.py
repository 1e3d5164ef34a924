"""What the parts of the soak saw, in docs/reliability.md: each has a place of its own."""

from pathlib import Path

from lab.errors import LabError

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


def record(part: str, text: str, document: Path = DOCUMENT) -> None:
    """Write what a part saw, in the place of what it saw before.

    Raises:
        LabError: the document has no place for it.
    """
    begin, end = f"<!-- soak {part} -->", f"<!-- end of soak {part} -->"
    before, found, rest = document.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise LabError(f"{document} has no lines {begin} and {end} to write between; add them.")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")
