"""Words that several parts of the program say alike."""

from collections.abc import Sequence
from datetime import datetime, timedelta


def one_line(text: str) -> str:
    """Return a text with its lines and spaces as one line."""
    return " ".join(text.split())


def last_words(text: str) -> str:
    """Return a message on one line, and not too long of one, without the dot at its end: a sentence goes on after it.

    Long messages end in what matters: the last words of a log, the innermost error.
    """
    line = one_line(text).rstrip(".")
    return line if len(line) <= _MOST_LETTERS else f"…{line[-_MOST_LETTERS:]}"


_MOST_LETTERS = 300


def first_line(text: str) -> str:
    """Return what stands in the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def first_of(names: Sequence[str], most: int) -> str:
    """Return names as a list in words; where there are more than `most`, the first of them and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def until(seconds: float) -> str:
    """The end of a wait that starts now, as the clock on the wall shows it."""
    return f"until {datetime.now().astimezone() + timedelta(seconds=seconds):%H:%M:%S}"
