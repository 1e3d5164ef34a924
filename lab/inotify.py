"""The kernel's limit of inotify instances, which all clusters share; a kubelet has six, and a cluster over twenty.

With the usual limit of 128, processes of the sixth cluster fail with "too many open files". The limit applies to the
whole computer, so that it is raised only as long as there are clusters.
"""

from pathlib import Path

from lab import places

INSTANCES = 1024
"""Enough for all clusters that the lab can have."""

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_BEFORE = "inotify-instances"
"""The file that records the limit before it was raised."""


def raise_limit() -> None:
    """Raise the limit, unless it is high enough. Idempotent."""
    before = _LIMIT.read_text()
    if int(before) < INSTANCES:
        (places.STATE / _BEFORE).write_text(before)
        _LIMIT.write_text(str(INSTANCES))


def restore_limit() -> None:
    """Restore the limit, unless it was changed after it was raised. Idempotent."""
    kept = places.STATE / _BEFORE
    if kept.exists() and int(_LIMIT.read_text()) == INSTANCES:
        _LIMIT.write_text(kept.read_text())
    kept.unlink(missing_ok=True)
