"""What a build reads: the files of a build context as `docker build` would send them, each with its hash."""

import os
import stat
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kube_registry.build.dockerignore import context_paths, ignore_file
from kube_registry.build.hash_cache import Hashes

UNSENT_DOCKERFILE = ".kube-registry.Dockerfile"
"""Name in the build context of a Dockerfile that lies outside of it or is ignored; the builder needs it there."""

_FILE, _FOLDER = 0o666, 0o777
"""What programs ask for when they make a file or an executable, and a folder; the umask takes bits away."""

_STATUS = Path("/proc/self/status")

_MOST_HOPS = 40
"""How many links one path may go through (Linux, path_resolution(7))."""


@dataclass(frozen=True)
class ContextEntry:
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


def read_entries(context: Path, dockerfile: Path, hashes: Hashes) -> tuple[tuple[ContextEntry, ...], tuple[Path, ...]]:
    """Read what is sent, sorted by path, and return with it the links that are not.

    Dockerfile and ignore file are read through a link that leads elsewhere. A Dockerfile that is not sent by itself
    gets a name of its own, always the same: the docker provider would give it another one in every build.

    Args:
        context: the build context, every link followed.
        dockerfile: the Dockerfile, in it or not.
        hashes: what is known of the files, and what becomes known.

    Raises:
        ValueError: the ignore file has a pattern that is none.
        OSError: something cannot be read.
    """
    read = _Reading(hashes, _read_umask())
    seen = [read.entry(path, context / path) for path in context_paths(context, dockerfile)]
    found = {entry.path: entry for entry in seen if entry}
    links = {path: entry.value for path, entry in found.items() if entry.kind == "link"}
    kinds = {path: entry.kind for path, entry in found.items()}
    # The docker provider follows every link, and fails at one that leads to nothing.
    left_out = {found[path].source: path for path in links if not _leads_inside(path, links, kinds)}
    sent = {path: entry for path, entry in found.items() if entry.source not in left_out}
    for file in (dockerfile, ignore_file(context, dockerfile)):
        if file in left_out:
            path = left_out.pop(file)
            sent[path] = read.file(path, file, file.stat())
    if dockerfile not in {entry.source for entry in sent.values()}:
        sent[UNSENT_DOCKERFILE] = read.file(UNSENT_DOCKERFILE, dockerfile, dockerfile.stat())
    return tuple(sent[path] for path in sorted(sent)), tuple(left_out)


@dataclass(frozen=True)
class _Reading:
    """How files become entries: with the hashes that are known, under this umask."""

    hashes: Hashes
    umask: int

    def entry(self, path: str, source: Path) -> ContextEntry | None:
        """What is there; None for a socket and the like, or for what has gone meanwhile."""
        try:
            found = source.lstat()
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(source)  # noqa: PTH115 - a Path drops a slash at the end, which counts
                return ContextEntry(path, "link", source, 0, _time(found), target)
            if stat.S_ISDIR(found.st_mode):
                return ContextEntry(path, "folder", source, _sent_mode(found.st_mode, self.umask), _time(found))
            return self.file(path, source, found) if stat.S_ISREG(found.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def file(self, path: str, source: Path, found: os.stat_result) -> ContextEntry:
        """A file; `found` is what was found of it just now."""
        mode, value = _sent_mode(found.st_mode, self.umask), self.hashes.of(path, source, found)
        widened = bool(mode & ~found.st_mode)
        return ContextEntry(path, "file", source, mode, _time(found), value, found.st_size, widened=widened)


def _time(found: os.stat_result) -> int:
    """The daemon takes a time before 1970 for 1970, and an archive that begins with one for a Dockerfile's text."""
    return max(found.st_mtime_ns, 0)


def _read_umask() -> int:
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


def _sent_mode(mode: int, umask: int) -> int:
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


def _leads_inside(link: str, links: Mapping[str, str], kinds: Mapping[str, str]) -> bool:
    """Whether a link leads, inside of what is sent, to something that is sent.

    Every part of the way counts: a link that leaves the build context and comes back leads elsewhere on another
    machine.

    Args:
        link: its path in the build context, with forward slashes.
        links: path -> target of every link there.
        kinds: path -> "folder", "file" or "link" of all that is sent.
    """
    place: list[str] = []
    ahead, hops = deque(link.split("/")), 0
    while ahead:
        part = ahead.popleft()
        path = "/".join([*place, part])
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                return False
            place.pop()
        elif path in links:
            hops += 1
            if links[path].startswith("/") or hops > _MOST_HOPS:
                return False
            ahead.extendleft(reversed(links[path].split("/")))
        elif kinds.get(path) == "folder":
            place.append(part)
        else:
            return kinds.get(path) == "file" and not ahead
    return True
