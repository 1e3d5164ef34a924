"""Supported versions of other software; docs/compatibility.md explains how each was tested."""

import re
from typing import Final

SUPPORTED: Final = {
    "Kubernetes": (1, 29),
    "Docker": (20, 10),
    "Podman": (6, 0),
    "Pulumi": (3, 244),
    "distribution": (3, 1),
}
"""Software -> oldest supported version."""

_VERSION = re.compile(r"(\d+)\.(\d+)")


def unsupported(software: str, version: str) -> str | None:
    """Return why a version is not supported, or None if it is.

    Args:
        software: a key of SUPPORTED.
        version: the version that it reports; text before and after the numbers is ignored.
    """
    major, minor = SUPPORTED[software]
    found = parsed(version)
    if found is None:
        return f"cannot parse the version of {software}: {version!r}"
    if found < (major, minor):
        return (
            f"{software} {version} is older than {major}.{minor}, the oldest that is supported (docs/compatibility.md)"
        )
    return None


def parsed(version: str) -> tuple[int, int] | None:
    """Return major and minor version; None if there is none.

    Args:
        version: the version that software reports; text before and after the numbers is ignored.
    """
    found = _VERSION.search(version)
    return (int(found[1]), int(found[2])) if found else None
