"""The versions of other software that this works with; docs/compatibility.md says how each is known."""

import re
from typing import Final

SUPPORTED: Final = {"Kubernetes": (1, 29), "Docker": (20, 10), "Pulumi": (3, 244), "distribution": (3, 1)}
"""Software -> oldest version that serves."""

_VERSION = re.compile(r"(\d+)\.(\d+)")


def unsupported(software: str, version: str) -> str | None:
    """Why a version does not serve; None if it does.

    Args:
        software: a key of SUPPORTED.
        version: as it reports it, whatever stands before and after its numbers.
    """
    major, minor = SUPPORTED[software]
    found = _VERSION.search(version)
    if found is None:
        return f"{software} tells {version!r} for its version, which is none"
    if (int(found[1]), int(found[2])) < (major, minor):
        return f"{software} {version} is older than {major}.{minor}, the oldest that serves (docs/compatibility.md)"
    return None
