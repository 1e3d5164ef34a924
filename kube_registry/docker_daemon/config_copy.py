"""Provide a copy of Docker's config.json for the docker provider, in the home folder, while images are pushed.

The provider reads `config.json` in the folder that its variable DOCKER_CONFIG names. Pulumi can only set that variable
to the value of another one, so the folder is HOME (ADR 0013). Concurrent runs share the file: each holds a lock on it,
and the last one removes it. If a run was killed, the next one removes its file.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kube_registry.foreign_json import read_json

_MARK = {"kube-registry": "a copy for the docker provider; it is removed when the push ends"}
"""Identifies the copy. Docker ignores unknown names (docker/cli, configfile.LoadFromReader)."""


@contextmanager
def config_copy(folder: Path, config: Mapping[str, Any]) -> Iterator[bool]:
    """Write a configuration to a folder as `config.json`, and remove it at the end.

    The file may contain logins; only its owner can read it.

    Args:
        folder: the folder that the docker provider reads.
        config: the configuration.

    Yields:
        Whether the file was written; False if the folder has another config.json, or is not writable.
    """
    file = folder / "config.json"
    held = _write_locked(file, json.dumps({**_MARK, **config}, sort_keys=True))
    try:
        yield held is not None
    finally:
        if held:
            _remove_if_unused(file, held)


def remove_left_copy(folder: Path) -> None:
    """Remove the copy of a run that was killed, if there is one."""
    file = folder / "config.json"
    with suppress(OSError):
        held = _open_locked(file)
        if held and _is_ours(held.read()):
            _remove_if_unused(file, held)


def _write_locked(file: Path, text: str) -> IO[str] | None:
    """Return the file with the text in it, locked; None if it belongs to someone else or cannot be written."""
    try:
        while True:
            held = _create_locked(file, text) or _open_locked(file)
            if held is None:
                continue  # another run has just removed it
            found = held.read()
            if found == text:
                return held
            if not _is_ours(found) or not _remove_if_unused(file, held):
                held.close()
                return None  # the file of a person, or of a run with another configuration
    except OSError:
        return None


def _create_locked(file: Path, text: str) -> IO[str] | None:
    """Create the file, complete and locked before it gets its name, and return it; None if it already exists."""
    with tempfile.TemporaryDirectory(prefix=".kube-registry-", dir=file.parent) as folder:
        made = Path(folder, file.name)
        made.touch(mode=0o600)
        held = made.open("r+")
        fcntl.flock(held, fcntl.LOCK_SH)
        held.write(text)
        held.seek(0)
        try:
            file.hardlink_to(made)
        except FileExistsError:
            held.close()
            return None
        return held


def _open_locked(file: Path) -> IO[str] | None:
    """Return the existing file, locked; None if it no longer exists."""
    try:
        held = file.open()
        fcntl.flock(held, fcntl.LOCK_SH)
        if os.path.samestat(file.stat(), os.fstat(held.fileno())):
            return held
        held.close()
    except FileNotFoundError:
        pass
    return None


def _remove_if_unused(file: Path, held: IO[str]) -> bool:
    """Remove the file unless another run holds it; return whether it was removed."""
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        file.unlink(missing_ok=True)
        return True


def _is_ours(text: str) -> bool:
    try:
        return bool(read_json(text).items() >= _MARK.items())
    except (ValueError, AttributeError):
        return False
