"""What `docker build` sends of a build context, as paths."""

import os
import posixpath
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kube_registry.build.dockerignore import Decision, IgnoreRules, ignore_file
from kube_registry.build.hash_cache import OWN_FOLDER


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
