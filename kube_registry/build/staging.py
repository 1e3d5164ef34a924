"""Stage a build for the docker provider: a snapshot of the files that the build reads, under a relative path.

The provider compares paths, applies its own ignore rules, and reads the files a second time when it builds. With a
snapshot, every checkout gives it the same input, and it builds exactly what was hashed. The path contains the tag, so
that concurrent runs in one folder do not interfere. A stage contains:

context/                   the entries that are sent, each with its own time and mode
Dockerfile                 a link to the Dockerfile in context/
Dockerfile.dockerignore    empty; the docker provider prefers it to one in context/, so it excludes nothing more
hashes.json                the hash of every file in context/, by its path there
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from kube_registry.build.build import CONTEXT, DOCKERFILE, Build
from kube_registry.build.content import ContextEntry
from kube_registry.build.errors import BuildContextError
from kube_registry.build.hash_cache import forget_hashes, make_own_folder

UNUSED_SECONDS = 24 * 3600
"""How long an unused stage is kept."""

IGNORE = "Dockerfile.dockerignore"
HASHES = "hashes.json"

_Facts = tuple[int, int | str]
"""Facts of an entry in a stage: file type and mode, and a file's size or a link's target."""

_CHUNK = 1 << 20


class _ChangedError(Exception):
    """A file has changed since it was hashed."""


def stage(build: Build, program: Path) -> Build:
    """Stage the files of an image's build, and return the build; reuse an earlier stage with updated times.

    Args:
        build: the build, with its current files.
        program: the program's folder.

    Raises:
        BuildContextError: a file has changed since it was hashed, or the stage cannot be written.
    """
    folder = program / build.stage
    try:
        make_own_folder(program)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not _use_again(build, folder):
            _make(build, folder)
        _remove_unused(folder)
    except OSError as error:
        raise BuildContextError(
            image=build.image,
            path=str(error.filename or folder),  # the error of a full disk has no file name
            problem=f"cannot be staged: {error.strerror}",
            fix="make sure that this folder next to Pulumi.yaml is writable and has free space",
        ) from error
    except _ChangedError as error:
        with suppress(OSError):
            forget_hashes(program, build.image)
        raise BuildContextError(
            image=build.image,
            path=str(error),
            problem="changed while it was read",
            fix="run this again when no other program writes to it",
        ) from error
    return build


def _use_again(build: Build, folder: Path) -> bool:
    """Update the times of a complete stage; return False if there is none, or it cannot be updated."""
    if not folder.is_dir() or _found(folder) != _expected(build):
        return False
    os.utime(folder)
    other = [entry for entry in build.entries if (folder / CONTEXT / entry.path).lstat().st_mtime_ns != entry.time]
    if not all(_is_only(folder, entry) for entry in other if entry.kind == "file"):
        return False
    for entry in other:
        _set_time(folder / CONTEXT / entry.path, entry)
    return True


def _is_only(folder: Path, entry: ContextEntry) -> bool:
    """Return whether a file is unchanged, and no other stage links to it, so that its time may be changed."""
    with (folder / CONTEXT / entry.path).open("rb") as file:
        return os.fstat(file.fileno()).st_nlink == 1 and hashlib.file_digest(file, "sha256").hexdigest() == entry.value


def _set_time(path: Path, entry: ContextEntry) -> None:
    os.utime(path, ns=(entry.time, entry.time), follow_symlinks=False)


def _make(build: Build, folder: Path) -> None:
    """Create a stage, and rename it to its final path when it is complete; another run may have created it first."""
    earlier = _earlier_files(folder.parent)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        (making / CONTEXT).mkdir()
        for entry in build.entries:
            _put(entry, making / CONTEXT / entry.path, earlier)
        for entry in reversed(build.entries):  # a folder after its content, which changes its time
            if entry.kind == "folder":
                (making / CONTEXT / entry.path).chmod(entry.mode)
                _set_time(making / CONTEXT / entry.path, entry)
        (making / DOCKERFILE).symlink_to(f"{CONTEXT}/{build.sent_dockerfile}")
        (making / IGNORE).touch()
        (making / IGNORE).chmod(0o644)
        hashes = {entry.path: entry.value for entry in build.entries if entry.kind == "file"}
        (making / HASHES).write_text(json.dumps(hashes))
        _put_in_place(making, folder, build)
    finally:
        _clear(making)


def _put_in_place(making: Path, folder: Path, build: Build) -> None:
    if folder.exists() and not _use_again(build, folder):
        _remove(folder)
    try:
        making.rename(folder)
    except OSError:
        if not _use_again(build, folder):
            raise


def _put(entry: ContextEntry, target: Path, earlier: dict[str, tuple[str, Path]]) -> None:
    """Add an entry to a stage; link to the same file in an earlier stage instead of copying it."""
    if entry.kind == "folder":
        target.mkdir()
    elif entry.kind == "link":
        target.symlink_to(entry.value)
        _set_time(target, entry)
    elif not _linked(entry, target, earlier):
        _copy(entry, target)
        target.chmod(entry.mode)
        _set_time(target, entry)


def _linked(entry: ContextEntry, target: Path, earlier: dict[str, tuple[str, Path]]) -> bool:
    """Add a file as a hard link to an earlier stage; return whether that was possible.

    Only the file with the same path is used: two links to one file in a stage would become hard links in the image.
    """
    value, file = earlier.get(entry.path, ("", target))
    with suppress(OSError):  # the stage was just removed, or the file system has no hard links: then it is copied
        there = file.lstat()
        if (value, _facts(there, file), there.st_mtime_ns) == (entry.value, _facts_of(entry), entry.time):
            target.hardlink_to(file)
            return True
    return False


def _copy(entry: ContextEntry, target: Path) -> None:
    digest = hashlib.sha256()
    try:
        source = entry.source.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _ChangedError(entry.source) from error
    with source, target.open("xb") as copy:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != entry.value:
        raise _ChangedError(entry.source)


def _earlier_files(stages: Path) -> dict[str, tuple[str, Path]]:
    """Return the files of the stage that was used last: path -> hash and location."""
    try:
        record = max(stages.glob(f"*/{HASHES}"), key=lambda each: each.parent.stat().st_mtime)
        hashes = json.loads(record.read_text())
    except (OSError, ValueError):  # there is none, it is being removed, or it is incomplete
        return {}
    context = record.parent / CONTEXT
    return {path: (value, context / path) for path, value in hashes.items()} if isinstance(hashes, dict) else {}


def _remove_unused(current: Path) -> None:
    """Remove the image's stages that were not used for UNUSED_SECONDS, and incomplete ones of interrupted runs."""
    for folder in current.parent.iterdir():
        with suppress(OSError):  # another run may remove it at the same time
            if folder != current and folder.stat().st_mtime < time.time() - UNUSED_SECONDS:
                _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a stage atomically, so that it is never incomplete."""
    removing = Path(tempfile.mkdtemp(prefix="removing-", dir=folder.parent))
    try:
        folder.rename(removing / folder.name)
    finally:
        _clear(removing)


def _clear(folder: Path) -> None:
    """Remove a folder that this program created; make read-only folders in it writable first."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            with suppress(OSError):
                if not Path(parent, name).is_symlink():
                    Path(parent, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _expected(build: Build) -> dict[str, _Facts]:
    """Return the facts of a complete stage."""
    entries = {f"{CONTEXT}/{entry.path}": _facts_of(entry) for entry in build.entries}
    dockerfile = (stat.S_IFLNK, f"{CONTEXT}/{build.sent_dockerfile}")
    return {**entries, DOCKERFILE: dockerfile, IGNORE: (stat.S_IFREG | 0o644, 0)}


def _facts_of(entry: ContextEntry) -> _Facts:
    """Return the facts of an entry in a stage."""
    if entry.kind == "link":
        return stat.S_IFLNK, entry.value
    return entry.mode | (stat.S_IFDIR if entry.kind == "folder" else stat.S_IFREG), entry.size


def _facts(found: os.stat_result, path: Path) -> _Facts:
    """Return the facts of a path in a stage; `found` is its lstat result."""
    if stat.S_ISLNK(found.st_mode):
        return stat.S_IFLNK, os.readlink(path)  # noqa: PTH115 - a Path would drop a slash at the end
    return found.st_mode, found.st_size if stat.S_ISREG(found.st_mode) else 0


def _found(folder: Path) -> dict[str, _Facts]:
    """Return the facts of an existing stage."""
    paths = [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: _facts(path.lstat(), path) for name, path in names.items() if name not in (CONTEXT, HASHES)}
