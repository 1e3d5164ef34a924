"""Which files of a build context `docker build` sends: the rules of .dockerignore as BuildKit reads them.

The last pattern that matches a path or one of its parents decides (github.com/moby/patternmatcher). An excluded folder
is searched where a pattern that re-includes may match something in it (github.com/tonistiigi/fsutil, filter.go).
"""

import os
import posixpath
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kube_registry.build.hash_cache import OWN_FOLDER

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Go takes for space (unicode.IsSpace); Python's own list is longer."""

_IN_BRACKETS = r"(?:\\.|[^\\\]-])"
_WELL_FORMED = re.compile(rf"(?:\\.|\[\^?(?:{_IN_BRACKETS}(?:-{_IN_BRACKETS})?)+\]|[^\\\[])*")
"""Go's filepath.Match, which Docker asks whether a pattern is one."""

_WILDCARDS = set("*[]?^\\")
"""What makes BuildKit search every excluded folder if it stands in a pattern that re-includes."""

_REGEX_ONLY = re.compile(r"\\[A-Za-z0-9]|\[:")
"""What Docker hands on to Go's regular expressions, which give it a meaning that Python's do not know."""

_REGEX_BESIDE_WILDCARDS = re.compile(r"\||\{[0-9]")
"""What it hands on beside a wildcard: a choice, a repetition (github.com/moby/patternmatcher, escapeBytes)."""


@dataclass(frozen=True)
class _Rule:
    """One pattern; one that re-includes started with "!"."""

    pattern: str
    regex: re.Pattern[str]
    reincludes: bool


@dataclass(frozen=True)
class Decision:
    """What the rules say of a path.

    Attributes:
        excluded: whether it is left out.
        matched: the rules that matched it, for what is in it.
    """

    excluded: bool
    matched: tuple[bool, ...]


@dataclass(frozen=True)
class IgnoreRules:
    """The patterns of a .dockerignore file in their order."""

    rules: tuple[_Rule, ...]

    @classmethod
    def read(cls, file: Path | None) -> "IgnoreRules":
        """The rules of a file; none without one.

        Raises:
            ValueError: it has a pattern that is none.
            OSError: it cannot be read.
        """
        return cls.parse(file.read_bytes().decode(errors="surrogateescape") if file else "")

    @classmethod
    def parse(cls, text: str) -> "IgnoreRules":
        """The rules that a .dockerignore file's text stands for.

        Raises:
            ValueError: a pattern is none.
        """
        lines = text.removeprefix("\ufeff").split("\n")
        patterns = [line.strip(_SPACE) for line in lines if not line.startswith("#")]
        return cls(tuple(rule for pattern in patterns if pattern and (rule := _rule(pattern))))

    def judge(self, path: str, parent: Decision | None = None) -> Decision:
        """What the rules say of a relative path.

        A rule that matched a folder matches all in it; a rule that re-includes is asked only while the path is
        excluded, the others only while it is not.

        Args:
            path: with forward slashes.
            parent: what they say of the folder that it is in; None at the top.
        """
        matched = list(parent.matched) if parent else [False] * len(self.rules)
        excluded = False
        for number, rule in enumerate(self.rules):
            if matched[number] or (rule.reincludes == excluded and rule.regex.fullmatch(path)):
                matched[number] = True
                excluded = not rule.reincludes
        return Decision(excluded, tuple(matched))

    def exclude(self, path: str) -> bool:
        """Whether a relative path is left out."""
        decision, parts = None, path.split("/")
        for length in range(1, len(parts) + 1):
            decision = self.judge("/".join(parts[:length]), decision)
        return bool(decision and decision.excluded)

    def enter(self, folder: str) -> bool:
        """Whether BuildKit searches an excluded folder for something to re-include."""
        back = [rule.pattern.removesuffix("/**").removesuffix("/*") for rule in self.rules if rule.reincludes]
        return any(set(pattern) & _WILDCARDS or f"{pattern}/".startswith(f"{folder}/") for pattern in back)


def ignore_file(context: Path, dockerfile: Path) -> Path | None:
    """The ignore file in force: the Dockerfile's own, else the build context's."""
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((file for file in candidates if file.is_file()), None)


def context_paths(context: Path, dockerfile: Path) -> list[str]:
    """Relative paths with forward slashes, sorted; a folder that something sent is in among them.

    The folder that programs of this kind keep between runs is no part of any build context.

    Args:
        context: the build context.
        dockerfile: the Dockerfile, in it or not.

    Raises:
        ValueError: the ignore file has a pattern that is none.
        OSError: a folder or the ignore file cannot be read.
    """
    paths = set(_walk(context, IgnoreRules.read(ignore_file(context, dockerfile)), "", None))
    return sorted(paths | {parent for path in paths for parent in _parents(path)})


def _walk(context: Path, rules: IgnoreRules, folder: str, above: Decision | None) -> Iterator[str]:
    for entry in _scan(context / folder, ignored=above is not None and above.excluded):
        if entry.name == OWN_FOLDER:
            continue
        path = posixpath.join(folder, entry.name)
        decision = rules.judge(path, above)
        if not decision.excluded:
            yield path
        if entry.is_dir(follow_symlinks=False) and (not decision.excluded or rules.enter(path)):
            yield from _walk(context, rules, path, decision)


def _scan(folder: Path, *, ignored: bool) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing of one that has gone meanwhile, or that is ignored and not readable."""
    passed_over = (FileNotFoundError, NotADirectoryError, *((PermissionError,) if ignored else ()))
    with suppress(*passed_over), os.scandir(folder) as entries:
        return list(entries)
    return []


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _rule(given: str) -> _Rule | None:
    reincludes = given.startswith("!")
    pattern = posixpath.normpath(given.removeprefix("!").strip(_SPACE) or "/").lstrip("/")
    if reincludes and not pattern:
        raise ValueError(f"{given!r} re-includes nothing")
    if not _WELL_FORMED.fullmatch(pattern):
        raise ValueError(f"{given!r} has a bracket or a backslash that is not complete")
    if _REGEX_ONLY.search(pattern):
        raise ValueError(f"{given!r} has a letter or a digit behind a backslash, or a class of characters by name")
    return _Rule(pattern, _compiled(pattern), reincludes) if pattern not in ("", ".") else None


def _compiled(pattern: str) -> re.Pattern[str]:
    """Docker's wildcards as a regular expression: `*` and `?` stay within a folder, `**` crosses folders.

    Plain text is taken as it is, also behind a leading `**`, which then means "ends with", so that `**.pyc` leaves out
    every file of that kind, and before a trailing one.
    """
    if not re.search(r"[*?\[\]\\]", pattern.removeprefix("**").removesuffix("**")):
        return _compiled_plain(pattern)
    if _REGEX_BESIDE_WILDCARDS.search(pattern):
        raise ValueError(f"{pattern!r} has | or a number in braces beside a wildcard, a regular expression for Docker")
    pieces = re.findall(r"\*\*/?|\\.|.", pattern)
    last = len(pieces) - 1
    translated = [_translated(piece, is_last=number == last) for number, piece in enumerate(pieces)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of brackets within brackets, which are as plain as in Go
        try:
            return re.compile("".join(translated))
        except re.error as error:
            raise ValueError(f"{pattern!r} is no pattern: {error}") from error


def _compiled_plain(pattern: str) -> re.Pattern[str]:
    """A pattern without wildcards, but for a `**` before or behind it."""
    text = pattern.removeprefix("**")
    anywhere, inside = text != pattern, text.endswith("**")
    plain = re.escape((text.removeprefix("/") if anywhere else text).removesuffix("**"))
    if anywhere and inside:
        return re.compile(f"(.*/)?{plain}.*")
    before = "(.*/)?" if text.startswith("/") else ".*"
    return re.compile(f"{before if anywhere else ''}{plain}{'.*' if inside else ''}", re.DOTALL)


def _translated(piece: str, *, is_last: bool) -> str:
    """A piece of a pattern; within brackets `-` and `^` keep their meaning, as in Docker's matcher."""
    if piece.startswith("**"):
        return ".*" if is_last else "(.*/)?"
    if piece in "[]-^":
        return piece
    return {"*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece.removeprefix("\\") or "\\")
