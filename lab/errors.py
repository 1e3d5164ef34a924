"""The lab's error class: its message says what failed, where the log is, and the fix."""

import sys
from collections.abc import Callable


class LabError(Exception):
    """A part of the lab is missing, failed or timed out."""


def run(app: Callable[[], None]) -> None:
    """Run a command line; a LabError is printed and ends it with status 1."""
    try:
        app()
    except LabError as error:
        sys.exit(str(error))
