"""An image's content: what its build reads, and the tag that is a hash of it.

Two checkouts with the same files get the same tag, whatever their folder, umask or clock. What counts is the build
context as `docker build` would send it, the Dockerfile, target, build arguments and platform.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kube_registry.build.context_paths import context_paths
from kube_registry.build.dockerignore import ignore_file
from kube_registry.build.errors import BuildContextError
from kube_registry.build.hash_cache import Hashes, remembered_hashes
from kube_registry.build.links import leads_inside
from kube_registry.build.modes import read_umask, sent_mode
from kube_registry.spec.sections import ImageSettings

TAG_LENGTH = 16
"""Hex digits of the hash that a tag keeps: 64 bits, for a few thousand tags of one repository."""

UNSENT_DOCKERFILE = ".kube-registry.Dockerfile"
"""Name in the build context of a Dockerfile that lies outside of it or is ignored; the builder needs it there."""

_TAR_NAME = 100
_TAR_NUMBER = 8**11
"""Bounds of a plain tar header (POSIX ustar): bytes of a name, a slash included, and of eleven octal digits."""


@dataclass(frozen=True)
class Entry:
    """Something that a build reads.

    Attributes:
        path: where it is in the build context, with forward slashes.
        kind: what it is.
        source: where it is on this machine.
        mode: permission bits that the build gets; those of a link say nothing.
        time: when it was modified, in nanoseconds since 1970, which no build knows a time before; no part of the tag.
        value: a file's sha256 in hex, a link's target, nothing of a folder.
        size: of a file, in bytes.
        widened: whether the umask hid it from others, who may read it in the image.
    """

    path: str
    kind: Literal["folder", "file", "link"]
    source: Path
    mode: int
    time: int
    value: str = ""
    size: int = 0
    widened: bool = False


@dataclass(frozen=True)
class Content:
    """All that an image's build reads, at one moment.

    Attributes:
        image: the image's name in the settings.
        tag: hash of all of it.
        entries: the build context; a folder before what is in it.
        dockerfile: the Dockerfile's path among the entries.
        left_out: links that are not sent because they do not lead to something that is sent.
    """

    image: str
    tag: str
    entries: tuple[Entry, ...]
    dockerfile: str
    left_out: tuple[Path, ...] = ()


def read_content(name: str, image: ImageSettings, platform: str, program: Path) -> Content:
    """What the files on disk give to an image's build.

    Hashes are remembered in the program's folder, so that a file that did not change is not read again.

    Args:
        name: the image's name in the settings.
        image: how it is built.
        platform: what it is built for, such as linux/amd64.
        program: folder that `image.context` is relative to.

    Raises:
        BuildContextError: build context or Dockerfile is not there, a file cannot be read or has a name that no build
            takes, or the ignore file has a pattern that is none.
    """
    context = (program / image.context).absolute()
    _prove(name, context, Path.is_dir, "is not a folder")
    context = context.resolve()
    dockerfile = context / image.dockerfile
    _prove(name, dockerfile, Path.is_file, "is not a file")
    dockerfile = dockerfile.parent.resolve() / dockerfile.name
    with _one_sentence(name, context, dockerfile), remembered_hashes(program, name) as hashes:
        sent, left_out = _read(context, dockerfile, _Reading(hashes, read_umask()))
        build = hashlib.sha256(dockerfile.read_bytes()).hexdigest()
    entries = tuple(sent[path] for path in sorted(sent))
    _prove_names(name, entries)
    _prove_first(name, entries[0])
    tag = _tag(entries, platform, image.target or "", json.dumps(image.build_args, sort_keys=True), build)
    place = next(entry.path for entry in entries if entry.source == dockerfile)
    return Content(name, tag, entries, place, left_out)


def _prove(image: str, path: Path, is_right: Callable[[Path], bool], otherwise: str) -> None:
    try:
        problem = None if is_right(path) else otherwise
    except OSError as error:  # a name that is too long, or a folder on the way that may not be entered
        problem = f"cannot be read: {error.strerror}"
    if problem:
        raise BuildContextError(image=image, path=str(path), problem=problem)


def _read(context: Path, dockerfile: Path, read: "_Reading") -> tuple[dict[str, Entry], tuple[Path, ...]]:
    """What is sent, by path, and the links that are not.

    Dockerfile and ignore file are read through a link that leads elsewhere. A Dockerfile that is not sent by itself
    gets a name of its own, always the same: the docker provider would give it another one in every build.
    """
    seen = [read.entry(path, context / path) for path in context_paths(context, dockerfile)]
    found = [entry for entry in seen if entry]
    lost = _lost_links(found)
    sent = {entry.path: entry for entry in found if entry.path not in lost}
    left_out = {entry.source: entry.path for entry in found if entry.path in lost}
    for file in (dockerfile, ignore_file(context, dockerfile)):
        if file in left_out:
            path = left_out.pop(file)
            sent[path] = read.file(path, file, file.stat())
    if dockerfile not in {entry.source for entry in sent.values()}:
        sent[UNSENT_DOCKERFILE] = read.file(UNSENT_DOCKERFILE, dockerfile, dockerfile.stat())
    return sent, tuple(left_out)


@contextmanager
def _one_sentence(image: str, context: Path, dockerfile: Path) -> Iterator[None]:
    """What cannot be read becomes a BuildContextError."""
    try:
        yield
    except ValueError as error:
        path, problem = str(ignore_file(context, dockerfile)), f"has a wrong pattern: {error}"
        raise BuildContextError(image=image, path=path, problem=problem, mend="correct that line") from error
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        mend = "make it readable, or leave it out by a line in .dockerignore"
        path = str(error.filename or context)  # a disk that fails while it is read names no file
        raise BuildContextError(image=image, path=path, problem=problem, mend=mend) from error


@dataclass(frozen=True)
class _Reading:
    """How files become entries: with the hashes that are known, under this umask."""

    hashes: Hashes
    umask: int

    def entry(self, path: str, source: Path) -> Entry | None:
        """What is there; None for a socket and the like, or for what has gone meanwhile."""
        try:
            found = source.lstat()
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(source)  # noqa: PTH115 - a Path drops a slash at the end, which counts
                return Entry(path, "link", source, 0, _time(found), target)
            if stat.S_ISDIR(found.st_mode):
                return Entry(path, "folder", source, sent_mode(found.st_mode, self.umask), _time(found))
            return self.file(path, source, found) if stat.S_ISREG(found.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def file(self, path: str, source: Path, found: os.stat_result) -> Entry:
        """A file; `found` is what was found of it just now."""
        mode, value = sent_mode(found.st_mode, self.umask), self.hashes.of(path, source, found)
        widened = bool(mode & ~found.st_mode)
        return Entry(path, "file", source, mode, _time(found), value, found.st_size, widened=widened)


def _time(found: os.stat_result) -> int:
    """The daemon takes a time before 1970 for 1970, and an archive that begins with one for a Dockerfile's text."""
    return max(found.st_mtime_ns, 0)


def _lost_links(found: list[Entry]) -> set[str]:
    """The links that lead to nothing that is sent; the docker provider follows every link, and fails at these."""
    places = {
        kind: {entry.path: entry.value for entry in found if entry.kind == kind} for kind in ("folder", "file", "link")
    }
    links, folders, files = places["link"], places["folder"].keys(), places["file"].keys()
    return {path for path in links if not leads_inside(path, links, folders, files)}


def _prove_names(image: str, entries: Iterable[Entry]) -> None:
    """A build knows names as UTF-8 only (BuildKit's protobuf messages)."""
    for entry in entries:
        try:
            entry.path.encode()
        except UnicodeEncodeError as error:
            raise BuildContextError(
                image=image,
                path=str(entry.source),
                problem="has a name that is not UTF-8",
                mend="rename it, or leave it out by a line in .dockerignore",
            ) from error


def _prove_first(image: str, first: Entry) -> None:
    """BuildKit takes an archive whose first header is an extended one for the text of a Dockerfile (isArchive).

    It looks at the first 1,024 bytes, and an extended header (PAX) comes before what it describes.
    """
    plain = first.path.isascii() and first.value.isascii() and max(len(first.path), len(first.value)) < _TAR_NAME
    if not plain or max(first.size, first.time // 1_000_000_000) >= _TAR_NUMBER:
        problem = (
            "is the first file of the build context, and its name, link target, size or time does not fit a plain tar "
            "header, which the docker provider's archive has to begin with"
        )
        mend = "rename it, or leave it out by a line in .dockerignore"
        raise BuildContextError(image=image, path=str(first.source), problem=problem, mend=mend)


def _tag(entries: tuple[Entry, ...], *build: str) -> str:
    digest = hashlib.sha256()
    _add(digest, *build)
    for entry in entries:
        _add(digest, entry.kind, entry.path, f"{entry.mode:o}", entry.value)
    return digest.hexdigest()[:TAG_LENGTH]


def _add(digest: "hashlib._Hash", *facts: str) -> None:
    """Add facts so that no two different lists of them are the same bytes."""
    for fact in facts:
        data = fact.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8) + data)
    digest.update(bytes(8))
