"""The build context as the docker provider gets it: a snapshot of what the build reads, under a relative path.

The provider compares paths, applies ignore rules of its own and asks for the files a second time when it builds: from a
snapshot every checkout gives it the same, and what was hashed is what is built. The path holds the tag, so that several
runs from one folder do not touch each other's. A stage holds:

context/                   what is sent, each file with its own time and mode
Dockerfile                 a link to the Dockerfile in there
Dockerfile.dockerignore    empty; the docker provider takes it before any in there, so it leaves out nothing more
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
"""How long a stage is kept that no run uses."""

IGNORE = "Dockerfile.dockerignore"
HASHES = "hashes.json"

_Facts = tuple[int, int | str]
"""What something in a stage is: kind and mode, and a file's size or a link's target."""

_CHUNK = 1 << 20


class _ChangedError(Exception):
    """A file is not what it was when it was hashed."""


def stage(build: Build, program: Path) -> Build:
    """Stage what an image's build reads, and return the build; a stage of an earlier run gets the files' times of now.

    Args:
        build: an image's, as its files are now.
        program: the program's folder.

    Raises:
        BuildContextError: a file changed since its hash was taken, or nothing can be written.
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
            path=str(error.filename or folder),  # a full disk names no file
            problem=f"cannot be staged: {error.strerror}",
            fix="make room and rights for that folder beside Pulumi.yaml",
        ) from error
    except _ChangedError as error:
        with suppress(OSError):
            forget_hashes(program, build.image)
        raise BuildContextError(
            image=build.image,
            path=str(error),
            problem="changed while it was read",
            fix="run it again once nothing writes there any more",
        ) from error
    return build


def _use_again(build: Build, folder: Path) -> bool:
    """Bring a whole stage to the files' times of now; False if there is none that can be."""
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
    """Whether a file is this stage's alone, so that its time may change, and still what it was."""
    with (folder / CONTEXT / entry.path).open("rb") as file:
        return os.fstat(file.fileno()).st_nlink == 1 and hashlib.file_digest(file, "sha256").hexdigest() == entry.value


def _set_time(path: Path, entry: ContextEntry) -> None:
    os.utime(path, ns=(entry.time, entry.time), follow_symlinks=False)


def _make(build: Build, folder: Path) -> None:
    """Make a stage and put it in its place whole; another run may have been faster."""
    earlier = _earlier_files(folder.parent)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        (making / CONTEXT).mkdir()
        for entry in build.entries:
            _put(entry, making / CONTEXT / entry.path, earlier)
        for entry in reversed(build.entries):  # a folder after what is in it, which changes its time
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
    """Put something into a stage; a file that is the same in an earlier stage is not written again."""
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
    """Whether a file could be had from an earlier stage, as a hard link.

    Only the file of the same path serves: two names of one file in a stage would be hard links in the image.
    """
    value, file = earlier.get(entry.path, ("", target))
    with suppress(OSError):  # the stage was removed just now, or this file system has no such links: it is copied
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
    """The files of the stage that was used last: path -> hash, and where it is."""
    try:
        record = max(stages.glob(f"*/{HASHES}"), key=lambda each: each.parent.stat().st_mtime)
        hashes = json.loads(record.read_text())
    except (OSError, ValueError):  # there is none, it is being removed, or it is not whole
        return {}
    context = record.parent / CONTEXT
    return {path: (value, context / path) for path, value in hashes.items()} if isinstance(hashes, dict) else {}


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
        _clear(removing)


def _clear(folder: Path) -> None:
    """Remove a folder of ours; one that its owner may not write to, as some are sent, is made writable first."""
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            with suppress(OSError):
                if not Path(parent, name).is_symlink():
                    Path(parent, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _expected(build: Build) -> dict[str, _Facts]:
    """What a whole stage holds."""
    entries = {f"{CONTEXT}/{entry.path}": _facts_of(entry) for entry in build.entries}
    dockerfile = (stat.S_IFLNK, f"{CONTEXT}/{build.sent_dockerfile}")
    return {**entries, DOCKERFILE: dockerfile, IGNORE: (stat.S_IFREG | 0o644, 0)}


def _facts_of(entry: ContextEntry) -> _Facts:
    """What an entry is once it is staged."""
    if entry.kind == "link":
        return stat.S_IFLNK, entry.value
    return entry.mode | (stat.S_IFDIR if entry.kind == "folder" else stat.S_IFREG), entry.size


def _facts(found: os.stat_result, path: Path) -> _Facts:
    """What something in a stage is; `found` is its lstat."""
    if stat.S_ISLNK(found.st_mode):
        return stat.S_IFLNK, os.readlink(path)  # noqa: PTH115 - a Path drops a slash at the end
    return found.st_mode, found.st_size if stat.S_ISREG(found.st_mode) else 0


def _found(folder: Path) -> dict[str, _Facts]:
    """What a stage holds."""
    paths = [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: _facts(path.lstat(), path) for name, path in names.items() if name not in (CONTEXT, HASHES)}
