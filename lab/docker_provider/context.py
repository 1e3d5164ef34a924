"""The build context: its files without ignored ones, their digest, and the archive for the Docker engine.

The digest is identical to the real provider's, so that both can use the same stack state. It covers names, modes and
contents.
"""

import hashlib
import os
import posixpath
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO

from kube_registry.build.dockerignore import IgnoreRules
from lab.docker_provider.errors import ProviderError

_GO_TYPES = {stat.S_IFLNK: "L", stat.S_IFIFO: "p", stat.S_IFBLK: "D", stat.S_IFCHR: "Dc"}


@dataclass(frozen=True)
class Archive:
    """The archive of a build context for the engine.

    Attributes:
        file: the tar archive, positioned at its start.
        dockerfile: the name of the Dockerfile in it.
    """

    file: IO[bytes]
    dockerfile: str


def digest(context: str, dockerfile: str) -> str:
    """Return the digest of a build context and its Dockerfile.

    Raises:
        ProviderError: a file cannot be read.
    """
    total = hashlib.sha256()
    try:
        _add(total, dockerfile, "Dockerfile", 0)
        rules = IgnoreRules.parse(_ignore_file(context, dockerfile))
        for name in _walk(context, rules, rules.enter):
            path = posixpath.join(context, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISDIR(mode):
                _add(total, path, name, mode)
    except OSError as error:
        raise ProviderError(f"unable to hash build context: {error.filename}: {error.strerror}") from error
    return total.hexdigest()


def relative_dockerfile(context: str, dockerfile: str) -> str:
    """Return the Dockerfile's path relative to the build context; it starts with "../" if it is outside of it."""
    return os.path.relpath(os.path.realpath(dockerfile), os.path.realpath(context))


def archive(context: str, dockerfile: str) -> Archive:
    """Pack a build context; a Dockerfile outside of it is added under a generated name.

    Raises:
        ProviderError: a file cannot be read.
    """
    name = relative_dockerfile(context, dockerfile)
    text = _ignore_file(context, dockerfile)
    rules = IgnoreRules.parse(text)
    needed = [file for file in (".dockerignore", name) if rules.exclude(file)]
    rules = IgnoreRules.parse("\n".join([text, *(f"!{file}" for file in needed)]))
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for member in _walk(context, rules, partial(_enters, rules)):
                _pack(tar, posixpath.join(context, member), member)
            if name.startswith("../"):
                name = _pack_outsider(tar, dockerfile, text)
    except OSError as error:
        file.close()
        raise ProviderError(f"error packing the build context: {error.filename}: {error.strerror}") from error
    file.seek(0)
    return Archive(file, name)


def _walk(context: str, rules: IgnoreRules, enter: Callable[[str], bool], folder: str = "") -> Iterator[str]:
    """Yield relative paths that are not ignored, sorted by name, a folder before its contents."""
    with os.scandir(posixpath.join(context, folder)) as scan:
        entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        name = posixpath.join(folder, entry.name)
        excluded = rules.exclude(name)
        if not excluded:
            yield name
        if entry.is_dir(follow_symlinks=False) and (not excluded or enter(name)):
            yield from _walk(context, rules, enter, name)


def _enters(rules: IgnoreRules, folder: str) -> bool:
    """Return whether the archive searches an excluded folder: if a re-including pattern starts with its name.

    The digest, and a build with the docker command, search more folders (github.com/moby/go-archive compared with
    github.com/tonistiigi/fsutil).
    """
    return any(rule.reincludes and f"{rule.pattern}/".startswith(f"{folder}/") for rule in rules.rules)


def _ignore_file(context: str, dockerfile: str) -> str:
    """Return the text of the Dockerfile's own .dockerignore, else of the build context's."""
    for file in (Path(f"{dockerfile}.dockerignore"), Path(context, ".dockerignore")):
        if file.exists():
            return file.read_text("utf-8-sig")
    return ""


def _add(total: "hashlib._Hash", path: str, name: str, mode: int) -> None:
    content = hashlib.sha256()
    if stat.S_ISLNK(mode):
        content.update(os.fsencode(_link_target(path)))
    elif stat.S_ISREG(mode) or mode == 0:
        with Path(path).open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
    total.update(os.fsencode(name) + _go_mode(mode).encode() + content.digest() + b"\0")


def _link_target(path: str) -> str:
    """Return the target of a symlink, relative to the working directory unless a path is absolute, as in Go."""
    target = os.path.realpath(path)
    absolute = posixpath.isabs(path) or Path(path).readlink().is_absolute()
    return target if absolute else os.path.relpath(target)


def _go_mode(mode: int) -> str:
    """Format a file's mode like Go, such as -rw-r--r-- or Lrwxrwxrwx."""
    flags = ((stat.S_ISUID, "u"), (stat.S_ISGID, "g"), (stat.S_ISVTX, "t"))
    letters = _GO_TYPES.get(stat.S_IFMT(mode), "") + "".join(letter for bit, letter in flags if mode & bit)
    return (letters or "-") + "".join(
        letter if mode & (0o400 >> place) else "-" for place, letter in enumerate("rwxrwxrwx")
    )


def _pack(tar: tarfile.TarFile, path: str, name: str) -> None:
    if stat.S_ISSOCK(os.lstat(path).st_mode):
        return  # there is nothing in it to pack
    member = tar.gettarinfo(path, name)
    # The layers are to depend on the files alone: no owner, and no fractions of a second.
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(member.mtime)
    if member.isreg():
        with Path(path).open("rb") as content:
            tar.addfile(member, content)
    else:
        tar.addfile(member)


def _pack_outsider(tar: tarfile.TarFile, dockerfile: str, ignore: str) -> str:
    """Pack a Dockerfile from outside such that COPY ignores it, and return its name."""
    content = Path(dockerfile).read_bytes()
    name = f".dockerfile.{hashlib.sha256(content).hexdigest()[:20]}"
    rules = "\n".join([ignore or ".dockerignore", name, ""]).encode()
    for path, data in ((name, content), (".dockerignore", rules)):
        member = tarfile.TarInfo(path)
        member.size = len(data)
        member.mode = 0o600
        tar.addfile(member, BytesIO(data))
    return name
