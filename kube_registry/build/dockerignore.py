"""Find the files of a build context that `docker build` sends, by .dockerignore as BuildKit interprets it.

The last pattern that matches a path or one of its parents decides (github.com/moby/patternmatcher). An excluded folder
is searched only if a re-including pattern may match something in it (github.com/tonistiigi/fsutil, filter.go).
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
"""Go's white space (unicode.IsSpace); Python has more."""

_IN_BRACKETS = r"(?:\\.|[^\\\]-])"
_WELL_FORMED = re.compile(rf"(?:\\.|\[\^?(?:{_IN_BRACKETS}(?:-{_IN_BRACKETS})?)+\]|[^\\\[])*")
"""The syntax of Go's filepath.Match, by which Docker validates patterns."""

_WILDCARDS = set("*[]?^\\")
"""Characters that make BuildKit search every excluded folder, if a re-including pattern has one."""

_REGEX_ONLY = re.compile(r"\\[A-Za-z0-9]|\[:")
"""Syntax that Docker passes to Go's regular expressions, and that Python's do not support."""

_REGEX_WITH_WILDCARDS = re.compile(r"\||\{[0-9]")
"""Syntax that Docker passes on only from patterns with wildcards: alternatives and repetitions
(github.com/moby/patternmatcher, escapeBytes)."""


@dataclass(frozen=True)
class _Rule:
    """One pattern; it re-includes if it started with "!"."""

    pattern: str
    regex: re.Pattern[str]
    reincludes: bool


@dataclass(frozen=True)
class Decision:
    """The rules' decision about a path.

    Attributes:
        excluded: whether it is excluded.
        matched: for each rule whether it matched, needed for the content of a folder.
    """

    excluded: bool
    matched: tuple[bool, ...]


@dataclass(frozen=True)
class IgnoreRules:
    """The patterns of a .dockerignore file in their order."""

    rules: tuple[_Rule, ...]

    @classmethod
    def read(cls, file: Path | None) -> "IgnoreRules":
        """Return the rules of a file; no rules for None.

        Raises:
            ValueError: a pattern is invalid.
            OSError: the file cannot be read.
        """
        return cls.parse(file.read_bytes().decode(errors="surrogateescape") if file else "")

    @classmethod
    def parse(cls, text: str) -> "IgnoreRules":
        """Return the rules of a .dockerignore file's text.

        Raises:
            ValueError: a pattern is invalid.
        """
        lines = text.removeprefix("\ufeff").split("\n")
        patterns = [line.strip(_SPACE) for line in lines if not line.startswith("#")]
        return cls(tuple(rule for pattern in patterns if pattern and (rule := _rule(pattern))))

    def judge(self, path: str, parent: Decision | None = None) -> Decision:
        """Return the decision about a relative path.

        A rule that matched a folder matches everything in it. A re-including rule is applied only while the path is
        excluded, other rules only while it is not.

        Args:
            path: the path, with forward slashes.
            parent: the decision about its folder; None at the top.
        """
        matched = list(parent.matched) if parent else [False] * len(self.rules)
        excluded = False
        for number, rule in enumerate(self.rules):
            if matched[number] or (rule.reincludes == excluded and rule.regex.fullmatch(path)):
                matched[number] = True
                excluded = not rule.reincludes
        return Decision(excluded, tuple(matched))

    def exclude(self, path: str) -> bool:
        """Return whether a relative path is excluded."""
        decision, parts = None, path.split("/")
        for length in range(1, len(parts) + 1):
            decision = self.judge("/".join(parts[:length]), decision)
        return bool(decision and decision.excluded)

    def enter(self, folder: str) -> bool:
        """Return whether BuildKit searches an excluded folder for entries to re-include."""
        back = [rule.pattern.removesuffix("/**").removesuffix("/*") for rule in self.rules if rule.reincludes]
        return any(set(pattern) & _WILDCARDS or f"{pattern}/".startswith(f"{folder}/") for pattern in back)


def ignore_file(context: Path, dockerfile: Path) -> Path | None:
    """Return the effective ignore file: the Dockerfile's own, otherwise the build context's."""
    candidates = (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore")
    return next((file for file in candidates if file.is_file()), None)


def context_paths(context: Path, dockerfile: Path) -> list[str]:
    """Return the relative paths that are sent, sorted, with forward slashes, including the folders of sent files.

    This program's own folder for data between runs is never part of a build context.

    Args:
        context: the build context.
        dockerfile: the Dockerfile, inside or outside of the context.

    Raises:
        ValueError: the ignore file has an invalid pattern.
        OSError: a folder or the ignore file cannot be read.
    """
    rules = IgnoreRules.read(ignore_file(context, dockerfile))
    paths = {path for path, sent, _ in _judged(context, rules, "", None) if sent}
    return sorted(paths | {parent for path in paths for parent in _parents(path)})


def searched_folders(context: Path, dockerfile: Path) -> Iterator[Path]:
    """Yield the folders in which a new file may be sent, the build context first.

    Args:
        context: the build context.
        dockerfile: the Dockerfile, inside or outside of the context.

    Raises:
        ValueError: the ignore file has an invalid pattern.
        OSError: a folder or the ignore file cannot be read.
    """
    rules = IgnoreRules.read(ignore_file(context, dockerfile))
    yield context
    yield from (context / path for path, _, searched in _judged(context, rules, "", None) if searched)


def _judged(context: Path, rules: IgnoreRules, folder: str, above: Decision | None) -> Iterator[tuple[str, bool, bool]]:
    """Yield each path below a folder, except in folders that are not searched: path, whether sent, whether searched."""
    for entry in _scan(context / folder, ignored=above is not None and above.excluded):
        if entry.name == OWN_FOLDER:
            continue
        path = posixpath.join(folder, entry.name)
        decision = rules.judge(path, above)
        searched = entry.is_dir(follow_symlinks=False) and (not decision.excluded or rules.enter(path))
        yield path, not decision.excluded, searched
        if searched:
            yield from _judged(context, rules, path, decision)


def _scan(folder: Path, *, ignored: bool) -> list[os.DirEntry[str]]:
    """Return the entries of a folder; none if it was deleted meanwhile, or if it is ignored and not readable."""
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
        raise ValueError(f"{given!r} has an incomplete bracket expression or escape")
    if _REGEX_ONLY.search(pattern):
        raise ValueError(f"{given!r} has a letter or digit after a backslash, or a named character class")
    return _Rule(pattern, _compiled(pattern), reincludes) if pattern not in ("", ".") else None


def _compiled(pattern: str) -> re.Pattern[str]:
    """Translate Docker's wildcards to a regular expression: `*` and `?` stay within a folder, `**` crosses folders.

    Text without wildcards matches literally, also between a leading and a trailing `**`. After a leading `**` it means
    "ends with", so that `**.pyc` excludes every such file.
    """
    if not re.search(r"[*?\[\]\\]", pattern.removeprefix("**").removesuffix("**")):
        return _compiled_plain(pattern)
    if _REGEX_WITH_WILDCARDS.search(pattern):
        raise ValueError(
            f"{pattern!r} has a wildcard with | or {{number}}, which Docker treats as a regular expression"
        )
    pieces = re.findall(r"\*\*/?|\\.|.", pattern)
    last = len(pieces) - 1
    translated = [_translated(piece, is_last=number == last) for number, piece in enumerate(pieces)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about nested brackets, which are literal as in Go
        try:
            return re.compile("".join(translated))
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a valid pattern: {error}") from error


def _compiled_plain(pattern: str) -> re.Pattern[str]:
    """Translate a pattern that has no wildcards except a leading or trailing `**`."""
    text = pattern.removeprefix("**")
    anywhere, inside = text != pattern, text.endswith("**")
    plain = re.escape((text.removeprefix("/") if anywhere else text).removesuffix("**"))
    if anywhere and inside:
        return re.compile(f"(.*/)?{plain}.*")
    before = "(.*/)?" if text.startswith("/") else ".*"
    return re.compile(f"{before if anywhere else ''}{plain}{'.*' if inside else ''}", re.DOTALL)


def _translated(piece: str, *, is_last: bool) -> str:
    """Translate one piece of a pattern; `-` and `^` keep their meaning in brackets, as in Docker's matcher."""
    if piece.startswith("**"):
        return ".*" if is_last else "(.*/)?"
    if piece in "[]-^":
        return piece
    return {"*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece.removeprefix("\\") or "\\")
