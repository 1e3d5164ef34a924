"""The build context as the docker provider gets it: staged with fixed modes and times, under a relative path.

The provider hashes modes and compares paths, and the layers carry both modes and times: from a stage, every checkout
gives it the same. A stage's path holds the tag, so that several runs from one folder do not touch each other's.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stack.content import Content, Entry
from stack.errors import BuildContextError
from stack.hashes import OWN_FOLDER, flat, forget_hashes, make_own_folder

UNUSED_SECONDS = 24 * 3600
"""How long a stage is kept that no run uses."""

_YEAR_2000 = 946_684_800
_TWENTY_YEARS = 631_152_000
_CHUNK = 1 << 20
_FILES = "files.json"
"""What a stage tells of its files to the next one: hash and mode -> path."""


@dataclass(frozen=True)
class Staged:
    """Where an image's build finds its files: relative to the program's folder, with forward slashes.

    Attributes:
        image: the image's name in the settings.
        tag: names its content.
        context: the build context.
        dockerfile: the Dockerfile.
    """

    image: str
    tag: str
    context: str
    dockerfile: str


@dataclass(frozen=True)
class _Facts:
    """What the provider and the layers see of a file (value: its size), a link (its target) or a folder."""

    mode: int
    time: float
    value: int | str


_FOLDER = _Facts(stat.S_IFDIR | 0o755, _YEAR_2000, 0)


class _ChangedError(Exception):
    """A file is not what it was when it was hashed."""


def stage(content: Content, program: Path) -> Staged:
    """Stage an image's content; what an earlier run has staged is used again.

    Args:
        content: what the image's build reads.
        program: the program's folder.

    Raises:
        BuildContextError: a file changed since its hash was taken, a link leads nowhere, or nothing can be written.
    """
    place = f"{OWN_FOLDER}/stages/{flat(content.image)}"
    folder = program / place / content.tag
    try:
        make_own_folder(program)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            os.utime(folder)
        if _found(folder) != _expected(content):
            _make(content, folder)
        _remove_unused(folder)
    except OSError as error:
        problem = f"cannot be staged: {error.strerror}"
        mend = "make room and rights for that folder beside Pulumi.yaml"
        raise BuildContextError(image=content.image, path=str(error.filename), problem=problem, mend=mend) from error
    except _ChangedError as error:
        with suppress(OSError):
            forget_hashes(program, content.image)
        problem = "changed while it was read"
        mend = "run it again once nothing writes there any more"
        raise BuildContextError(image=content.image, path=str(error), problem=problem, mend=mend) from error
    _prove_links(content, folder)
    within = f"{place}/{content.tag}"
    return Staged(content.image, content.tag, f"{within}/context", f"{within}/{content.dockerfile}")


def _make(content: Content, folder: Path) -> None:
    """Make a stage beside its place and put it there whole; another run may have been faster."""
    expected, earlier = _expected(content), _earlier_files(folder.parent)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        (making / "context").mkdir()
        for entry in content.entries:
            _put(entry, making, expected[entry.path], earlier)
        for path in sorted(expected, reverse=True):  # a folder after what is in it, which changes its time
            if stat.S_ISDIR(expected[path].mode):
                (making / path).chmod(0o755)
                os.utime(making / path, (expected[path].time, expected[path].time))
        files = {_key(entry): entry.path for entry in content.entries if entry.kind == "file"}
        (making / _FILES).write_text(json.dumps(files))
        if folder.exists() and _found(folder) != expected:
            _remove(folder)
        _rename(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _rename(making: Path, folder: Path) -> None:
    try:
        making.rename(folder)
    except OSError:
        if _found(folder) != _found(making):
            raise


def _put(entry: Entry, stage: Path, facts: _Facts, earlier: dict[str, Path]) -> None:
    """Put something into a stage; what an earlier stage has of the same hash and mode is not written again."""
    target = stage / entry.path
    if entry.kind == "folder":
        target.mkdir()
    elif entry.kind == "link":
        target.symlink_to(entry.value)
        os.utime(target, (facts.time, facts.time), follow_symlinks=False)
    elif not _linked(target, facts, earlier.get(_key(entry))):
        _copy(entry, target)
        target.chmod(facts.mode & 0o777)
        os.utime(target, (facts.time, facts.time))


def _linked(target: Path, facts: _Facts, earlier: Path | None) -> bool:
    """Whether a file could be had from an earlier stage, as a hard link."""
    try:
        if earlier and _facts(earlier) == facts:
            target.hardlink_to(earlier)
            return True
    except OSError:
        pass  # the stage was removed just now, or this file system has no such links: it is copied
    return False


def _copy(entry: Entry, target: Path) -> None:
    digest = hashlib.sha256()
    with entry.source.open("rb") as source, target.open("xb") as copy:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != entry.value:
        raise _ChangedError(entry.source)


def _key(entry: Entry) -> str:
    return f"{entry.value} {'x' if entry.executable else '-'}"


def _earlier_files(stages: Path) -> dict[str, Path]:
    """The files of the stage that was used last, by hash and mode."""
    records = sorted(stages.glob(f"*/{_FILES}"), key=_used)
    if not records:
        return {}
    try:
        return {key: records[-1].parent / path for key, path in json.loads(records[-1].read_text()).items()}
    except (OSError, ValueError):
        return {}


def _used(record: Path) -> float:
    with suppress(OSError):
        return record.parent.stat().st_mtime
    return 0.0


def _expected(content: Content) -> dict[str, _Facts]:
    """What a whole stage holds."""
    return {"context": _FOLDER} | {entry.path: _facts_of(entry) for entry in content.entries}


def _facts_of(entry: Entry) -> _Facts:
    """How something is staged.

    A file's time comes of its content: web servers make ETags of time and size, and an edit that keeps both would go
    unnoticed by browsers.
    """
    if entry.kind == "folder":
        return _FOLDER
    if entry.kind == "link":
        return _Facts(stat.S_IFLNK, _YEAR_2000, entry.value)
    mode = stat.S_IFREG | (0o755 if entry.executable else 0o644)
    return _Facts(mode, _YEAR_2000 + int(entry.value[:16], 16) % _TWENTY_YEARS, entry.size)


def _facts(path: Path) -> _Facts:
    """What something in a stage is."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return _Facts(stat.S_IFLNK, found.st_mtime, str(path.readlink()))
    return _Facts(found.st_mode, found.st_mtime, found.st_size if stat.S_ISREG(found.st_mode) else 0)


def _found(folder: Path) -> dict[str, _Facts]:
    """What a stage holds; nothing if it is not there."""
    paths = [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    found = {path.relative_to(folder).as_posix(): path for path in paths}
    found.pop(_FILES, None)
    return {name: _facts(path) for name, path in found.items()}


def _remove_unused(current: Path) -> None:
    """Remove the image's stages that no run has used for long, and what a run that was ended has left of one."""
    for folder in current.parent.iterdir():
        with suppress(OSError):  # another run does the same
            if folder != current and folder.stat().st_mtime < time.time() - UNUSED_SECONDS:
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a stage so that it is never there in part."""
    removing = Path(tempfile.mkdtemp(prefix="removing-", dir=folder.parent))
    try:
        folder.rename(removing / folder.name)
    finally:
        shutil.rmtree(removing, ignore_errors=True)


def _prove_links(content: Content, folder: Path) -> None:
    """The docker provider follows links for their hash, and fails at one that leads nowhere."""
    for entry in content.entries:
        if entry.kind == "link" and not (folder / entry.path).exists():
            problem = f"is a link to {entry.value}, which is not there, is ignored or lies outside of the build context"
            mend = "leave it out by a line in .dockerignore, or let it lead to what is sent"
            raise BuildContextError(image=content.image, path=str(entry.source), problem=problem, mend=mend)
