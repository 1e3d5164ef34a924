"""The one way in which the lab waits: for something named, for so long, with the log that tells why it did not come."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")

PAUSE_SECONDS = 0.03
"""Between two looks."""


class TooLateError(LabError):
    """Something did not happen in time."""


def wait_for(look: Callable[[], T | None], what: str, *, log: Path, seconds: float) -> T:
    """Look again and again until there is something to return.

    Args:
        look: returns what is waited for, or None or False while it is not there; may raise to give up at once.
        what: completes the sentence "waited for …".
        log: the file that says why it takes so long.
        seconds: how long to wait.

    Raises:
        TooLateError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TooLateError(f"Waited {seconds:.0f} s for {what}, in vain; see {log}.")
        time.sleep(PAUSE_SECONDS)
