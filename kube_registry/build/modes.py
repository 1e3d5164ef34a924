"""A file's mode as a build gets it: its own, but for what only the umask of this checkout explains."""

import os
import stat
from pathlib import Path

_FILE, _FOLDER = 0o666, 0o777
"""What programs ask for when they make a file or an executable, and a folder; the umask takes bits away."""

_STATUS = Path("/proc/self/status")


def read_umask() -> int:
    """The umask of this process.

    Linux reports it. Elsewhere it is known only by setting another one for an instant, for every thread.
    """
    try:
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["Umask"], 8)
    except (OSError, KeyError, ValueError):
        current = os.umask(0o022)
        os.umask(current)
        return current


def sent_mode(mode: int, umask: int) -> int:
    """The permission bits that a build gets of a file or folder.

    A mode that is exactly what the umask leaves of 0666 or 0777 counts as 0644 or 0755, so that a checkout under
    another umask is no change. Every other mode was set on purpose and stays.

    Args:
        mode: `st_mode`, with the kind of file.
        umask: the umask of this process.
    """
    bits = stat.S_IMODE(mode)
    if bits == _FOLDER & ~umask:
        return 0o755
    if bits == _FILE & ~umask and not stat.S_ISDIR(mode):
        return 0o644
    return bits
