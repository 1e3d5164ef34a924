"""A build context: which of its files count, their digest, and the archive that the Docker engine gets.

The digest is the real provider's to the bit, so that a stack's state fits both; it hashes names, modes and contents.
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
    """A build context as the engine gets it.

    Attributes:
        file: the tar archive, at its start.
        dockerfile: the Dockerfile's name in it.
    """

    file: IO[bytes]
    dockerfile: str


def digest(context: str, dockerfile: str) -> str:
    """The digest of a build context and its Dockerfile.

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
    """The Dockerfile's path as seen from the build context; starts with "../" where it lies outside."""
    return os.path.relpath(os.path.realpath(dockerfile), os.path.realpath(context))


def archive(context: str, dockerfile: str) -> Archive:
    """Pack a build context; a Dockerfile from outside of it comes along under a name of its own.

    Raises:
        ProviderError: a file cannot be read.
    """
    name = relative_dockerfile(context, dockerfile)
    text = _ignore_file(context, dockerfile)
    rules = IgnoreRules.parse(text)
    needed = [file for file in (".dockerignore", name) if rules.exclude(file)]
    rules = IgnoreRules.parse("\n".join([text, *(f"!{file}" for file in needed)]))
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asked for the archive closes it
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
    """Relative paths that are not ignored, a folder before what is in it, neighbours by name."""
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
    """Whether the archive searches an excluded folder: only where a pattern that re-includes begins with its name.

    The digest, and a build by the docker command, search more (github.com/moby/go-archive beside
    github.com/tonistiigi/fsutil).
    """
    return any(rule.reincludes and f"{rule.pattern}/".startswith(f"{folder}/") for rule in rules.rules)


def _ignore_file(context: str, dockerfile: str) -> str:
    """The text of the .dockerignore that belongs to this Dockerfile, else of the build context's."""
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
    """Where a symlink ends: relative to here unless the way there is absolute, as in Go."""
    target = os.path.realpath(path)
    absolute = posixpath.isabs(path) or Path(path).readlink().is_absolute()
    return target if absolute else os.path.relpath(target)


def _go_mode(mode: int) -> str:
    """A file's mode as Go writes it, such as -rw-r--r-- or Lrwxrwxrwx."""
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
    """Pack a Dockerfile from outside so that no COPY takes it along, and return its name."""
    content = Path(dockerfile).read_bytes()
    name = f".dockerfile.{hashlib.sha256(content).hexdigest()[:20]}"
    rules = "\n".join([ignore or ".dockerignore", name, ""]).encode()
    for path, data in ((name, content), (".dockerignore", rules)):
        member = tarfile.TarInfo(path)
        member.size = len(data)
        member.mode = 0o600
        tar.addfile(member, BytesIO(data))
    return name
