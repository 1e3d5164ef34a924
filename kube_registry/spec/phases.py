"""The phases of an update, and the marks that assign the program's progress lines to them.

The engine passes on only the text of a progress line. If an environment variable asks for it, the program therefore
prefixes the text with a mark of the phase.
"""

import os
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """The phase of an update, in this order."""

    WAITING = "waiting"
    REGISTRY = "registry"
    """Create the cluster's objects and wait until the registry is ready."""
    PREFLIGHT = "preflight"
    BUILD = "build"
    PUSH = "push"
    READING_BACK = "reading back"
    HEALTH = "health"


PHASES = tuple(Phase)

Say = Callable[[Phase, str], None]
"""Print a progress line: what is being waited for and until when, or why a step is retried."""

MARKS: Final = {"KUBE_REGISTRY_PHASE_MARKS": "true"}
"""Environment variables that make the program mark its progress lines."""

_MARK = re.compile(rf"\[({'|'.join(Phase)})\] (.*)", re.DOTALL)


def marked(phase: Phase, text: str) -> str:
    """Return a progress line, with the mark of its phase if the environment asks for marks."""
    return f"[{phase}] {text}" if MARKS.items() <= os.environ.items() else text


def read_mark(line: str) -> tuple[Phase, str] | None:
    """Return the phase and the text of a marked line, or None if the line has no mark."""
    found = _MARK.match(line)
    return (Phase(found[1]), found[2]) if found else None
