"""The files of an image's build context that a branch has changed, according to git."""

from dataclasses import dataclass
from pathlib import Path

from kube_registry.build.dockerignore import IgnoreRules, ignore_file
from kube_registry.processes import run

GIT_SECONDS = 30.0
"""How long `git` may take to compare a build context."""


@dataclass(frozen=True)
class Changed:
    """What has changed in a build context.

    Args:
        files: paths relative to it, or to the checkout if they are outside the build context.
        since: the commit that it is compared with; None if there is none.
        unknown: why the changed files are unknown, in one sentence; empty if they are known.
    """

    files: tuple[str, ...] = ()
    since: str | None = None
    unknown: str = ""


async def changed_files(context: Path, dockerfile: Path, base: str) -> Changed:
    """Return the files that the build reads and that have changed since this branch left its base.

    New files that are not yet added are included; files that git ignores are not.

    Args:
        context: the build context, with all links resolved.
        dockerfile: the Dockerfile, in the build context or outside.
        base: the branch to merge into, such as origin/main.
    """
    ignore = ignore_file(context, dockerfile)
    build_files = [file for file in (dockerfile, ignore) if file]
    outside = [str(file) for file in build_files if not file.is_relative_to(context)]
    try:
        since = (await _git(context, "merge-base", base, "HEAD")).strip()
    except OSError:
        return Changed(unknown=f"the changed files are unknown: git finds no common ancestor of {base} and HEAD")
    try:
        inside = await _differing(context, since, ["."], relative=True)
        others = await _differing(context, since, outside, relative=False) if outside else []
    except OSError:
        return Changed(unknown="the changed files are unknown: git cannot compare them")
    rules = IgnoreRules.read(ignore)
    always = {file.relative_to(context).as_posix() for file in build_files if file.is_relative_to(context)}
    files = {path for path in inside if path in always or not rules.exclude(path)}
    return Changed(tuple(sorted(files.union(others))), since[:12])


async def _differing(folder: Path, since: str, places: list[str], *, relative: bool) -> list[str]:
    """Return the files in some places that differ from a commit or are new.

    Args:
        folder: folder that the places are relative to.
        since: the commit.
        places: files and folders.
        relative: whether paths are relative to the folder, without any outside of it; else to the checkout.

    Raises:
        OSError: git cannot compare them.
    """
    diff_option, list_option = (["--relative"], []) if relative else ([], ["--full-name"])
    differing = await _git(folder, "diff", "--name-only", *diff_option, "-z", since, "--", *places)
    new = await _git(folder, "ls-files", "--others", "--exclude-standard", *list_option, "-z", "--", *places)
    return [path for path in (differing + new).split("\0") if path]


async def _git(folder: Path, *words: str) -> str:
    """Run git and return what it prints.

    Raises:
        OSError: it cannot be run, fails or takes too long.
    """
    ended = await run("git", *words, cwd=folder, seconds=GIT_SECONDS)
    if ended.status != 0:
        raise ChildProcessError(ended.words)
    return ended.out.decode(errors="surrogateescape")
