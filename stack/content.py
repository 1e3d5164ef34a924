"""An image's content: what its build reads, and the tag that is a hash of it.

Two checkouts with the same files get the same tag, whatever their folder, umask or clock. What counts is the build
context as Docker would send it, the Dockerfile, target, build arguments and platform.
"""

import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stack.errors import BuildContextError
from stack.hashes import OWN_FOLDER, Hashes, remembered_hashes
from stack.ignore import IgnoreRules, Verdict, ignore_file
from stack.settings import ImageSettings

TAG_LENGTH = 16
"""Hex digits of the hash that a tag keeps: 64 bits, for a few thousand tags of one repository."""

_CONTEXT = "context"


@dataclass(frozen=True)
class Entry:
    """Something that a build reads.

    Attributes:
        path: where it is staged, with forward slashes: in "context", or beside that if it lies outside of it.
        kind: what it is.
        source: where it is.
        value: a file's sha256 in hex, a link's target, nothing of a folder.
        size: of a file, in bytes.
        executable: whether a file is, by its owner's bit.
    """

    path: str
    kind: Literal["folder", "file", "link"]
    source: Path
    value: str = ""
    size: int = 0
    executable: bool = False


@dataclass(frozen=True)
class Content:
    """All that an image's build reads, at one moment.

    Attributes:
        image: the image's name in the settings.
        tag: hash of all of it.
        entries: the build context, and what of Dockerfile and ignore file lies outside; a folder before what is in it.
        dockerfile: the Dockerfile's path among the entries.
    """

    image: str
    tag: str
    entries: tuple[Entry, ...]
    dockerfile: str


def read_content(name: str, image: ImageSettings, platform: str, program: Path) -> Content:
    """What the files on disk give to an image's build.

    Hashes are remembered in the program's folder, so that a file that did not change is not read again.

    Args:
        name: the image's name in the settings.
        image: how it is built.
        platform: what it is built for, such as linux/amd64.
        program: folder that `image.context` is relative to.

    Raises:
        BuildContextError: build context or Dockerfile is not there, a file cannot be read, or the ignore file has a
            pattern that is none.
    """
    context = (program / image.context).resolve()
    if not context.is_dir():
        raise BuildContextError(image=name, path=str(context), problem="is not a folder")
    dockerfile = context / image.dockerfile
    if not dockerfile.is_file():
        raise BuildContextError(image=name, path=str(dockerfile), problem="is not a file")
    dockerfile = dockerfile.parent.resolve() / dockerfile.name
    try:
        sources = _sources(context, dockerfile, program.resolve() / OWN_FOLDER)
        with remembered_hashes(program, name) as hashes:
            entries = tuple(_entries(sources, hashes))
        build = hashlib.sha256(dockerfile.read_bytes()).hexdigest()
    except ValueError as error:
        path, problem = str(ignore_file(context, dockerfile)), f"has a wrong pattern: {error}"
        raise BuildContextError(image=name, path=path, problem=problem, mend="correct that line") from error
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        mend = "make it readable, or leave it out by a line in .dockerignore"
        raise BuildContextError(image=name, path=str(error.filename), problem=problem, mend=mend) from error
    tag = _tag(entries, platform, image.target or "", json.dumps(image.build_args, sort_keys=True), build)
    return Content(name, tag, entries, _staged_path(context, dockerfile, "Dockerfile"))


def context_paths(context: Path, dockerfile: Path, own: Path | None = None) -> list[str]:
    """What Docker would send of a build context: relative paths with forward slashes, sorted.

    Dockerfile and ignore file are sent even where they are excluded.

    Args:
        context: the build context.
        dockerfile: the Dockerfile, in it or not.
        own: a folder that is no part of it.

    Raises:
        ValueError: the ignore file has a pattern that is none.
        OSError: a folder or the ignore file cannot be read.
    """
    ignore = ignore_file(context, dockerfile)
    paths = set(_walk(context, IgnoreRules.read(ignore), "", None, _inside(context, own) if own else None))
    always = {_inside(context, file) for file in (dockerfile, ignore) if file}
    return sorted(paths | {path for path in always if path})


def _walk(context: Path, rules: IgnoreRules, folder: str, above: Verdict | None, own: str | None) -> Iterator[str]:
    with os.scandir(context / folder) as entries:
        for entry in entries:
            path = posixpath.join(folder, entry.name)
            if path == own:
                continue
            verdict = rules.judge(path, above)
            if not verdict.excluded:
                yield path
            if entry.is_dir(follow_symlinks=False) and (not verdict.excluded or rules.enter(path)):
                yield from _walk(context, rules, path, verdict, own)


def _inside(context: Path, file: Path) -> str | None:
    """A file's path within the build context; None if it lies outside."""
    path = os.path.relpath(file, context).replace(os.sep, "/")
    return None if path.split("/")[0] == ".." else path


def _staged_path(context: Path, file: Path, outside: str) -> str:
    inside = _inside(context, file)
    return outside if inside is None else f"{_CONTEXT}/{inside}"


def _sources(context: Path, dockerfile: Path, own: Path) -> dict[str, Path]:
    """Staged path -> where that is, sorted; the folders that a re-included file is in among them."""
    paths = context_paths(context, dockerfile, own)
    folders = {parent for path in paths for parent in _parents(path)}
    sources = {f"{_CONTEXT}/{path}": context / path for path in sorted({*paths, *folders})}
    sources[_staged_path(context, dockerfile, "Dockerfile")] = dockerfile
    if ignore := ignore_file(context, dockerfile):
        sources[_staged_path(context, ignore, "Dockerfile.dockerignore")] = ignore
    return dict(sorted(sources.items()))


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _entries(sources: dict[str, Path], hashes: Hashes) -> Iterator[Entry]:
    """What is there; sockets and the like are left out."""
    for path, source in sources.items():
        found = source.lstat() if path.startswith(f"{_CONTEXT}/") else source.stat()
        if stat.S_ISLNK(found.st_mode):
            yield Entry(path, "link", source, str(source.readlink()))
        elif stat.S_ISDIR(found.st_mode):
            yield Entry(path, "folder", source)
        elif stat.S_ISREG(found.st_mode):
            value, executable = hashes.of(path, source, found), bool(found.st_mode & stat.S_IXUSR)
            yield Entry(path, "file", source, value, found.st_size, executable)


def _tag(entries: tuple[Entry, ...], *build: str) -> str:
    digest = hashlib.sha256()
    _add(digest, *build)
    for entry in entries:
        _add(digest, entry.kind, entry.path, "x" if entry.executable else "-", entry.value)
    return digest.hexdigest()[:TAG_LENGTH]


def _add(digest: "hashlib._Hash", *facts: str) -> None:
    """Add facts so that no two different lists of them are the same bytes."""
    for fact in facts:
        data = fact.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8) + data)
    digest.update(bytes(8))
