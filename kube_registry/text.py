"""Text that several parts of the program format in the same way."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import IO, Final

_FIX: Final = ". Fix: "


def add_fix(message: str, fix: str) -> str:
    """Append the fix of an error to its message; an empty fix adds nothing."""
    return f"{message.rstrip('.')}{_FIX}{fix}" if fix else message


def for_stream(text: str, stream: IO[str]) -> str:
    """Format the text of an error for a stream: on a terminal the fix starts a new line."""
    return text.replace(_FIX, ".\nFix: ") if stream.isatty() else text


def one_line(text: str) -> str:
    """Join the lines of a text, with single spaces between the words."""
    return " ".join(text.split())


def last_words(text: str) -> str:
    """Return the end of a message as one line, without its full stop, for use inside a sentence.

    Long messages are cut at the start, because the end matters most: the last line of a log, the innermost error.
    """
    line = one_line(text).rstrip(".")
    return line if len(line) <= _MOST_LETTERS else f"…{line[-_MOST_LETTERS:]}"


_MOST_LETTERS = 300


def first_line(text: str) -> str:
    """Return the first line that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def first_of(names: Sequence[str], most: int) -> str:
    """Return a comma-separated list of at most `most` names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 image" or "2 images"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> str:
    """Return an indented table that starts on a new line, and the number of rows that it omits.

    Args:
        head: the names of the columns.
        rows: the rows that are shown.
        total: the number of all rows.
    """
    every = [head, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(head) - 1)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in every]
    more = total - len(rows)
    return "".join(f"\n  {line}" for line in lines) + (f"\n  and {more} more" if more else "")


def until(seconds: float) -> str:
    """Return the local time at which a wait of some seconds ends, such as "until 14:03:20"."""
    return f"until {datetime.now().astimezone() + timedelta(seconds=seconds):%H:%M:%S}"
