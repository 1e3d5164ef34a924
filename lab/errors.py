"""The lab's one error: a sentence that says what went wrong, where its log lies and what to do."""

import sys
from collections.abc import Callable


class LabError(Exception):
    """Something that the lab needs is not there, did not start or did not answer in time."""


def run(app: Callable[[], None]) -> None:
    """Run a command line; an error of the lab is one sentence and exit status 1."""
    try:
        app()
    except LabError as error:
        sys.exit(str(error))
