"""Cache the hashes of files between runs, so that unchanged files are not read again."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

OWN_FOLDER = ".kube-registry"
"""Folder for data between runs, in the program's folder; not part of any build context, and ignored by git."""

SETTLED_NS = 2_000_000_000
"""How long, in nanoseconds, a file must have been unchanged before its hash is cached: file system clocks have ticks of
up to 2 s, and a second change within one tick would not be noticed."""

_Facts = list[int | str]


@dataclass(frozen=True)
class Hashes:
    """The cached facts of files, by a name that is stable between runs.

    Attributes:
        known: facts from an earlier run: size, times, inode, mode, hash.
        current: facts for the next run.
    """

    known: dict[str, _Facts]
    current: dict[str, _Facts] = field(default_factory=dict)

    def sha256(self, name: str, file: Path, found: os.stat_result) -> str:
        """Return a file's sha256 in hex.

        Args:
            name: the file's stable name.
            file: path of the file.
            found: its current stat result.

        Raises:
            OSError: the file cannot be read.
        """
        facts = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode]
        *before, value = self.known.get(name) or [""]
        if before != facts:
            with file.open("rb") as opened:
                value = hashlib.file_digest(opened, "sha256").hexdigest()
        if max(found.st_mtime_ns, found.st_ctime_ns) < time.time_ns() - SETTLED_NS:
            self.current[name] = [*facts, value]
        return str(value)


@contextmanager
def remembered_hashes(program: Path, image: str) -> Iterator[Hashes]:
    """Yield the hashes of an image's files, and store the new ones at the end, if the cache is writable."""
    cache = _cache(program, image)
    hashes = Hashes(_read(cache))
    yield hashes
    if hashes.current != hashes.known:
        _write(cache, hashes.current)


def forget_hashes(program: Path, image: str) -> None:
    """Delete the cached hashes of an image, so that the next run reads all files again.

    Raises:
        OSError: the folder is not writable.
    """
    _cache(program, image).unlink(missing_ok=True)


def make_own_folder(program: Path) -> None:
    """Create the folder for data between runs, with a .gitignore.

    Raises:
        OSError: it cannot be created.
    """
    folder = program / OWN_FOLDER
    ignored = folder / ".gitignore"
    if not ignored.exists() or not ignored.stat().st_size:  # a full disk may have left an empty file
        folder.mkdir(exist_ok=True)
        ignored.write_text("*\n")


def flat(image: str) -> str:
    """Return an image's name as a file name; repository names contain no plus sign."""
    return image.replace("/", "+")


def _cache(program: Path, image: str) -> Path:
    return program / OWN_FOLDER / f"cache-{flat(image)}.json"


def _read(cache: Path) -> dict[str, _Facts]:
    """Return the facts from an earlier run; empty if they cannot be read."""
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
    valid = isinstance(known, dict) and all(isinstance(facts, list) for facts in known.values())
    return known if valid else {}


def _write(cache: Path, hashes: dict[str, _Facts]) -> None:
    """Write the cache atomically."""
    with suppress(OSError):
        make_own_folder(cache.parent.parent)
        with tempfile.NamedTemporaryFile("w", dir=cache.parent, prefix="cache-", delete=False) as file:
            try:
                json.dump(hashes, file)
                file.flush()
                Path(file.name).replace(cache)
            finally:
                Path(file.name).unlink(missing_ok=True)
