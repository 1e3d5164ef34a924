"""Find words in code and docs that make a reader stop, where plain ones exist (`python -m lab.words [PATH…]`)."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

REFUSED = (
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
    "of no use",
    "comes of",
    "come of",
    "put out",
    "puts out",
)
_REFUSED = re.compile(rf"\b({'|'.join(REFUSED)})\b", re.IGNORECASE)

RIGHT: dict[str, tuple[str, ...]] = {
    "docs/security.md": ("nobody",),  # the name of a user
    "lab/gobuild.py": ("beside",),  # the name of this field is part of the cache key of every build
    "lab/monitoring.py": ("beside",),
    "lab/parts.py": ("beside",),
    "lab/words.py": REFUSED,
}
"""File -> refused words that are right in it."""

LEFT_OUT = ("tests/", "CHANGELOG.md", "requirements")


def words_in(name: str, text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each refused word of a file: line number, word in lower case, line.

    Args:
        name: the file's path in the checkout.
        text: its text.
    """
    right = RIGHT.get(name, ())
    for number, line in enumerate(text.splitlines(), 1):
        for found in _REFUSED.finditer(line):
            if found[0].lower() not in right:
                yield number, found[0].lower(), line.strip()


def files(checkout: Path, paths: Sequence[str] = ()) -> list[str]:
    """Return the .py and .md files of a checkout, or those below some paths, as paths in the checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(paths or ["."])]
    names = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.splitlines()
    checked = (name for name in names if name.endswith((".py", ".md")) and not name.startswith(LEFT_OUT))
    return [name for name in checked if (checkout / name).exists()]


def check(checkout: Path, paths: Sequence[str] = ()) -> list[str]:
    """Return a message for each refused word in these files."""
    return [
        f"{name}:{number}: {word!r} is refused: {line}"
        for name in files(checkout, paths)
        for number, word, line in words_in(name, (checkout / name).read_text())
    ]


if __name__ == "__main__":
    sys.exit("\n".join(check(Path(__file__).resolve().parent.parent, sys.argv[1:])) or None)
