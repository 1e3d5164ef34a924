"""Read the files of a build context, as `docker build` would send them, with their hashes."""

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
"""Name in the build context for a Dockerfile that is outside of it or ignored; the builder needs it there."""

_FILE, _FOLDER = 0o666, 0o777
"""Modes that programs request for a new file, and for a new executable or folder; the umask clears bits of them."""

_STATUS = Path("/proc/self/status")

_MOST_HOPS = 40
"""Maximum number of links in the resolution of one path (Linux, path_resolution(7))."""


@dataclass(frozen=True)
class ContextEntry:
    """A file, folder or link that a build reads.

    Attributes:
        path: path in the build context, with forward slashes.
        kind: what it is.
        source: path on this machine.
        mode: permission bits in the build; meaningless for a link.
        time: modification time in nanoseconds since 1970, not negative; not part of the tag.
        value: a file's sha256 in hex, or a link's target; empty for a folder.
        size: size of a file in bytes.
        widened: whether other users can read it in the image, but not here because of the umask.
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
    """Return the entries that are sent, sorted by path, and the links that are not sent.

    If Dockerfile or ignore file is a link to a target that is not sent, the target is sent in its place. A Dockerfile
    that is not part of the context gets a fixed name: the docker provider would choose another one in every build.

    Args:
        context: the build context, with all links resolved.
        dockerfile: the Dockerfile, inside or outside of the context.
        hashes: the hash cache.

    Raises:
        ValueError: the ignore file has an invalid pattern.
        OSError: a file or folder cannot be read.
    """
    read = _Reading(hashes, _read_umask())
    seen = [read.entry(path, context / path) for path in context_paths(context, dockerfile)]
    found = {entry.path: entry for entry in seen if entry}
    links = {path: entry.value for path, entry in found.items() if entry.kind == "link"}
    kinds = {path: entry.kind for path, entry in found.items()}
    # The docker provider follows every link, and fails if a target is missing.
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
    """Creates entries from files, with a hash cache and a umask."""

    hashes: Hashes
    umask: int

    def entry(self, path: str, source: Path) -> ContextEntry | None:
        """Return the entry of a path; None for special files such as sockets, or if it was deleted meanwhile."""
        try:
            found = source.lstat()
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(source)  # noqa: PTH115 - a Path would drop a slash at the end
                return ContextEntry(path, "link", source, 0, _time(found), target)
            if stat.S_ISDIR(found.st_mode):
                return ContextEntry(path, "folder", source, _sent_mode(found.st_mode, self.umask), _time(found))
            return self.file(path, source, found) if stat.S_ISREG(found.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    def file(self, path: str, source: Path, found: os.stat_result) -> ContextEntry:
        """Return the entry of a file; `found` is its current stat result."""
        mode, value = _sent_mode(found.st_mode, self.umask), self.hashes.sha256(path, source, found)
        widened = bool(mode & ~found.st_mode)
        return ContextEntry(path, "file", source, mode, _time(found), value, found.st_size, widened=widened)


def _time(found: os.stat_result) -> int:
    """Return the modification time, at least 1970.

    The daemon replaces earlier times with 1970, and would mistake an archive that starts with one for a Dockerfile's
    text.
    """
    return max(found.st_mtime_ns, 0)


def _read_umask() -> int:
    """Return the umask of this process.

    Linux reports it. Other systems return it only when it is changed, so it is changed for an instant, for all threads.
    """
    try:
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["Umask"], 8)
    except (OSError, KeyError, ValueError):
        current = os.umask(0o022)
        os.umask(current)
        return current


def _sent_mode(mode: int, umask: int) -> int:
    """Return the permission bits of a file or folder in the build.

    A mode that is exactly 0666 or 0777 without the umask's bits becomes 0644 or 0755, so that a checkout with another
    umask is the same build. Any other mode was set on purpose and is kept.

    Args:
        mode: `st_mode`, with the file type.
        umask: the umask of this process.
    """
    bits = stat.S_IMODE(mode)
    if bits == _FOLDER & ~umask:
        return 0o755
    if bits == _FILE & ~umask and not stat.S_ISDIR(mode):
        return 0o644
    return bits


def _leads_inside(link: str, links: Mapping[str, str], kinds: Mapping[str, str]) -> bool:
    """Return whether a link's target is sent, and reached through sent entries only.

    Every step counts: a link that leaves the build context and comes back has another target on another machine.

    Args:
        link: path of the link in the build context, with forward slashes.
        links: path -> target, of every link in the build context.
        kinds: path -> "folder", "file" or "link", of every entry.
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
