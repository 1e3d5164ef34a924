"""An image's tag: a hash of everything that its build reads.

Two checkouts with the same files get the same tag, whatever their folder, umask or clock. What counts is the
build context as Docker would send it (.dockerignore honoured), the Dockerfile, target, build arguments and
platform. The rules of .dockerignore are those of Docker's own matcher (github.com/moby/patternmatcher): the
last pattern that matches a path or one of its parents decides.
"""

import hashlib
import json
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.errors import BuildContextError
from stack.settings import ImageSettings

TAG_LENGTH = 16
"""Hex digits of the hash that a tag keeps: 64 bits, for a few thousand tags of one repository."""


def content_tag(name: str, image: ImageSettings, platform: str, program: Path) -> str:
    """The tag that the files on disk give to an image.

    Args:
        name: the image's name in the settings.
        image: how it is built.
        platform: what it is built for, such as linux/amd64.
        program: folder that `image.context` is relative to.

    Raises:
        BuildContextError: build context or Dockerfile is not there.
    """
    context = program / image.context
    if not context.is_dir():
        raise BuildContextError(image=name, path=str(context), problem="is not a folder")
    dockerfile = context / image.dockerfile
    if not dockerfile.is_file():
        raise BuildContextError(image=name, path=str(dockerfile), problem="is not a file")
    digest = hashlib.sha256()
    _add(digest, "build", platform, image.target or "", json.dumps(image.build_args, sort_keys=True))
    _add(digest, "dockerfile", hashlib.sha256(dockerfile.read_bytes()).hexdigest())
    for path in context_paths(context):
        _add(digest, *_facts(context, path))
    return digest.hexdigest()[:TAG_LENGTH]


def context_paths(context: Path) -> list[str]:
    """What Docker would send of a build context: relative paths with forward slashes, sorted."""
    return sorted(_walk(context, "", IgnoreRules.read(context)))


@dataclass(frozen=True)
class IgnoreRules:
    """The patterns of a .dockerignore file in their order; a rule that re-includes started with "!"."""

    rules: tuple[tuple[re.Pattern[str], bool], ...]

    @classmethod
    def read(cls, context: Path) -> "IgnoreRules":
        """The rules of a build context; none if it has no .dockerignore."""
        file = context / ".dockerignore"
        return cls.parse(file.read_text("utf-8-sig") if file.is_file() else "")

    @classmethod
    def parse(cls, text: str) -> "IgnoreRules":
        """The rules that a .dockerignore file's text stands for."""
        rules = []
        for line in text.splitlines():
            pattern = line.strip()
            if not pattern or line.startswith("#"):
                continue
            reincludes = pattern.startswith("!")
            cleaned = posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/")
            if cleaned not in ("", "."):
                rules.append((re.compile(_regex(cleaned)), reincludes))
        return cls(tuple(rules))

    def exclude(self, path: str) -> bool:
        """Whether a relative path is left out.

        A rule that matched a folder matches all in it; a rule that re-includes is asked only while the path is
        excluded, the others only while it is not.
        """
        excluded = False
        inherited = [False] * len(self.rules)
        for length, _ in enumerate(parts := path.split("/"), start=1):
            excluded, candidate = False, "/".join(parts[:length])
            for number, (regex, reincludes) in enumerate(self.rules):
                if inherited[number] or (reincludes == excluded and regex.fullmatch(candidate)):
                    inherited[number] = True
                    excluded = not reincludes
        return excluded

    @property
    def reinclude(self) -> bool:
        """Whether something inside an excluded folder may come back."""
        return any(reincludes for _, reincludes in self.rules)


def _walk(context: Path, folder: str, ignore: IgnoreRules) -> Iterator[str]:
    with os.scandir(context / folder) as entries:
        for entry in entries:
            path = posixpath.join(folder, entry.name)
            excluded = ignore.exclude(path)
            if not excluded:
                yield path
            if entry.is_dir(follow_symlinks=False) and (not excluded or ignore.reinclude):
                yield from _walk(context, path, ignore)


def _facts(context: Path, path: str) -> tuple[str, ...]:
    """What of a file ends in the image and is the same in every checkout: no owner, no time, one mode bit."""
    file = context / path
    if file.is_symlink():
        return ("link", path, str(file.readlink()))
    if file.is_dir():
        return ("folder", path)
    executable = "x" if file.stat().st_mode & 0o100 else "-"
    return ("file", path, executable, hashlib.sha256(file.read_bytes()).hexdigest())


def _add(digest: "hashlib._Hash", *facts: str) -> None:
    """Add facts so that no two different lists of them are the same bytes."""
    for fact in facts:
        data = fact.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8) + data)
    digest.update(bytes(8))


def _regex(pattern: str) -> str:
    """Docker's wildcards as a regular expression: `*` and `?` stay within a folder, `**` crosses folders.

    A leading `**` before plain text means "ends with", so that `**.pyc` leaves out every file of that kind.
    """
    if pattern.startswith("**") and not re.search(r"[*?\[\]\\]", pattern[2:]) and not pattern.startswith("**/"):
        return ".*" + re.escape(pattern[2:])
    tokens = re.findall(r"\*\*/?|\\.|.", pattern)
    translated = []
    for position, token in enumerate(tokens):
        if token.startswith("**"):
            translated.append(".*" if position == len(tokens) - 1 else "(.*/)?")
        else:
            translated.append({"*": "[^/]*", "?": "[^/]", "[": "[", "]": "]"}.get(token) or _literal(token))
    return "".join(translated)


def _literal(character: str) -> str:
    """A character for itself; within brackets `-` and `^` keep their meaning, as in Docker's matcher."""
    if character in "-^":
        return character
    return re.escape(character.removeprefix("\\") or "\\")
