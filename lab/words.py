"""`python -m lab.words [PATH…]`: words in code and docs that a reader has to decode, where plain ones exist."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

REFUSED = [
    "mend",
    "mends",
    "mended",
    "mending",
    "told",
    "tell",
    "tells",
    "telling",
    "whoever",
    "nobody",
    "somebody",
    "anew",
    "likewise",
    "beside",
    "bear",
    "bears",
]
PHRASES = ("of no use", "comes of", "come of", "put out", "puts out")
_REFUSED = re.compile(rf"\b({'|'.join((*REFUSED, *PHRASES))})\b", re.IGNORECASE)

RIGHT: dict[str, tuple[str, ...]] = {
    "lab/words.py": (*REFUSED, *PHRASES),
    "docs/security.md": ("nobody",),  # a user's name
}
"""File -> the words that are right there."""

LEFT_OUT = ("tests/", "CHANGELOG.md", "requirements")


def refused_in(name: str, text: str) -> Iterator[str]:
    """Return a line for each word of a file that is refused.

    Args:
        name: the file's path in the checkout.
        text: what it holds.
    """
    for number, line in enumerate(text.splitlines(), 1):
        for found in _REFUSED.finditer(line):
            if found[0].lower() not in RIGHT.get(name, ()):
                yield f"{name}:{number}: {found[0]!r} is refused: {line.strip()}"


def check(checkout: Path, paths: Sequence[str]) -> list[str]:
    """Return the lines of all .py and .md files, or of those below some paths."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(paths or ["."])]
    names = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.splitlines()
    read = [name for name in names if name.endswith((".py", ".md")) and not name.startswith(LEFT_OUT)]
    return [line for name in read for line in refused_in(name, (checkout / name).read_text())]


if __name__ == "__main__":
    sys.exit("\n".join(check(Path(__file__).resolve().parent.parent, sys.argv[1:])) or None)
