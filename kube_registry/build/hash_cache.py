"""Hashes of files, remembered between runs, so that a file that did not change is not read again."""

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
"""What is kept in the program's folder between runs; no part of any build context, and of no use to git."""

SETTLED_NS = 2_000_000_000
"""How long, in nanoseconds, a file must have been left alone before its hash is believed: the coarsest clock of a file
system in use has ticks of 2 s, and a second change within one would not be noticed."""

_Facts = list[int | str]


@dataclass(frozen=True)
class Hashes:
    """What is known of files, by a name that each keeps between runs.

    Attributes:
        known: what an earlier run has left: size, times, inode, mode, hash.
        current: what this run leaves to the next one.
    """

    known: dict[str, _Facts]
    current: dict[str, _Facts] = field(default_factory=dict)

    def of(self, name: str, file: Path, found: os.stat_result) -> str:
        """A file's sha256 in hex.

        Args:
            name: the file's name between runs.
            file: where it is.
            found: what was found of it just now.

        Raises:
            OSError: it cannot be read.
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
    """Hashes of an image's files; what was learned is kept at the end, where something can be written."""
    cache = _cache(program, image)
    hashes = Hashes(_read(cache))
    yield hashes
    if hashes.current != hashes.known:
        _write(cache, hashes.current)


def forget_hashes(program: Path, image: str) -> None:
    """Have all of an image's files read anew by the next run.

    Raises:
        OSError: the folder cannot be written to.
    """
    _cache(program, image).unlink(missing_ok=True)


def make_own_folder(program: Path) -> None:
    """Make the folder that is kept between runs, so that git does not see it.

    Raises:
        OSError: it cannot be made.
    """
    folder = program / OWN_FOLDER
    ignored = folder / ".gitignore"
    if not ignored.exists() or not ignored.stat().st_size:  # a full disk leaves an empty one
        folder.mkdir(exist_ok=True)
        ignored.write_text("*\n")


def flat(image: str) -> str:
    """An image's name as a file's; no repository has a plus in its name."""
    return image.replace("/", "+")


def _cache(program: Path, image: str) -> Path:
    return program / OWN_FOLDER / f"cache-{flat(image)}.json"


def _read(cache: Path) -> dict[str, _Facts]:
    """What an earlier run has left; nothing if it cannot be read."""
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        return {}
    sound = isinstance(known, dict) and all(isinstance(facts, list) for facts in known.values())
    return known if sound else {}


def _write(cache: Path, hashes: dict[str, _Facts]) -> None:
    """Write all or nothing."""
    with suppress(OSError):
        make_own_folder(cache.parent.parent)
        with tempfile.NamedTemporaryFile("w", dir=cache.parent, prefix="cache-", delete=False) as file:
            try:
                json.dump(hashes, file)
                file.flush()
                Path(file.name).replace(cache)
            finally:
                Path(file.name).unlink(missing_ok=True)
