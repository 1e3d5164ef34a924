"""Wait for a condition, with a time limit and an error that names the log."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")

PAUSE_SECONDS = 0.03
"""Between two checks."""


class TooLateError(LabError):
    """A wait timed out."""


def wait_for(check: Callable[[], T | None], what: str, *, log: Path, seconds: float, pause: float = PAUSE_SECONDS) -> T:
    """Call a check until it returns a result.

    Args:
        check: returns the result, or None or False to be called again; an exception ends the wait.
        what: what is waited for, as in "waited for …".
        log: the log file that the error names.
        seconds: the time limit.
        pause: seconds between two checks.

    Raises:
        TooLateError: there was no result in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TooLateError(f"Timed out after {seconds:.0f} s waiting for {what}; see {log}.")
        time.sleep(pause)
