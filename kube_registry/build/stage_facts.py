"""What a stage holds, and what it should hold; times aside, which change while its content does not.

context/                   what is sent, each file with its own time and mode
Dockerfile                 a link to the Dockerfile in there
Dockerfile.dockerignore    empty; the docker provider takes it before any in there, so it leaves out nothing more
hashes.json                the hash of every file in context/, by its path there
"""

import os
import stat
from pathlib import Path

from kube_registry.build.build import CONTEXT, DOCKERFILE, Build
from kube_registry.build.content import Entry

IGNORE = "Dockerfile.dockerignore"
HASHES = "hashes.json"


Facts = tuple[int, int | str]
"""What something in a stage is: kind and mode, and a file's size or a link's target."""


def expected(build: Build) -> dict[str, Facts]:
    """What a whole stage holds."""
    entries = {f"{CONTEXT}/{entry.path}": facts_of(entry) for entry in build.entries}
    dockerfile = (stat.S_IFLNK, f"{CONTEXT}/{build.sent_dockerfile}")
    return {**entries, DOCKERFILE: dockerfile, IGNORE: (stat.S_IFREG | 0o644, 0)}


def facts_of(entry: Entry) -> Facts:
    """What an entry is once it is staged."""
    if entry.kind == "link":
        return stat.S_IFLNK, entry.value
    return entry.mode | (stat.S_IFDIR if entry.kind == "folder" else stat.S_IFREG), entry.size


def facts(found: os.stat_result, path: Path) -> Facts:
    """What something in a stage is; `found` is its lstat."""
    if stat.S_ISLNK(found.st_mode):
        return stat.S_IFLNK, os.readlink(path)  # noqa: PTH115 - a Path drops a slash at the end
    return found.st_mode, found.st_size if stat.S_ISREG(found.st_mode) else 0


def found(folder: Path) -> dict[str, Facts]:
    """What a stage holds."""
    paths = [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: facts(path.lstat(), path) for name, path in names.items() if name not in (CONTEXT, HASHES)}
