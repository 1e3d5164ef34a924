"""The phases that a stack goes through, and how the program hands on which of them a line on a row belongs to.

Of such a line the engine hands on nothing but the text. So a run that asks for it, by an environment variable, gets the
phase as a mark before the text.
"""

import os
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """What a stack is at, in this order."""

    WAITING = "waiting"
    REGISTRY = "registry"
    """The cluster's objects, until the registry runs."""
    PREFLIGHT = "preflight"
    BUILD = "build"
    """Build and push."""
    READING_BACK = "reading back"
    HEALTH = "health"


PHASES = tuple(Phase)

Say = Callable[[Phase, str], None]
"""Shows a person one line: what is being waited for and until when, or why something is done again."""

MARKS: Final = {"KUBE_REGISTRY_PHASE_MARKS": "true"}
"""The environment of a program that is to mark the phase of each line."""

_MARK = re.compile(rf"\[({'|'.join(Phase)})\] (.*)", re.DOTALL)


def marked(phase: Phase, text: str) -> str:
    """Return a line as it is written on a row: with its phase if this process is to mark it."""
    return f"[{phase}] {text}" if MARKS.items() <= os.environ.items() else text


def read_mark(line: str) -> tuple[Phase, str] | None:
    """Return the phase and the text of a line that has a mark."""
    found = _MARK.match(line)
    return (Phase(found[1]), found[2]) if found else None
