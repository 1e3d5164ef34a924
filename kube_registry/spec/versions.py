"""The versions of other programs that this one works with; docs/compatibility.md tells how each is known."""

import re
from typing import Final

SUPPORTED: Final = {"Kubernetes": (1, 29), "Docker": (20, 10), "Pulumi": (3, 244), "distribution": (3, 1)}
"""Program -> oldest version that serves."""

_VERSION = re.compile(r"(\d+)\.(\d+)")


def unsupported(program: str, version: str) -> str | None:
    """Why a version does not serve; None if it does.

    Args:
        program: a key of SUPPORTED.
        version: as the program tells it, whatever stands before and after its numbers.
    """
    major, minor = SUPPORTED[program]
    found = _VERSION.search(version)
    if found is None:
        return f"{program} tells {version!r} for its version, which is none"
    if (int(found[1]), int(found[2])) < (major, minor):
        return f"{program} {version} is older than {major}.{minor}, the oldest that serves (docs/compatibility.md)"
    return None
