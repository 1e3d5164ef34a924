"""Which files of an image's build context a branch has changed, as far as git knows."""

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
        files: paths relative to it, or to the checkout where they lie outside of it.
        since: the commit that it is compared with; None if there is none.
        unknown: why it is not known what has changed, in words; empty if it is.
    """

    files: tuple[str, ...] = ()
    since: str | None = None
    unknown: str = ""


async def changed_files(context: Path, dockerfile: Path, base: str) -> Changed:
    """The files that the build reads and that differ from where this branch left its base.

    Files that git ignores are not seen; those that are new and not yet added are.

    Args:
        context: the build context, every link followed.
        dockerfile: the Dockerfile, in it or not.
        base: what the branch is to be merged into, such as origin/main.
    """
    ignore = ignore_file(context, dockerfile)
    build_files = [file for file in (dockerfile, ignore) if file]
    outside = [str(file) for file in build_files if not file.is_relative_to(context)]
    try:
        since = (await _git(context, "merge-base", base, "HEAD")).strip()
    except OSError:
        return Changed(unknown=f"which files changed is not known: git has no common ancestor of {base} and HEAD here")
    try:
        inside = await _differing(context, since, ["."], relative=True)
        beside = await _differing(context, since, outside, relative=False) if outside else []
    except OSError:
        return Changed(unknown="which files changed is not known: git cannot compare them")
    rules = IgnoreRules.read(ignore)
    always = {file.relative_to(context).as_posix() for file in build_files if file.is_relative_to(context)}
    files = {path for path in inside if path in always or not rules.exclude(path)}
    return Changed(tuple(sorted(files.union(beside))), since[:12])


async def _differing(folder: Path, since: str, places: list[str], *, relative: bool) -> list[str]:
    """The files in some places that differ from a commit or are new.

    Args:
        folder: where the places are looked for.
        since: the commit.
        places: files and folders.
        relative: whether paths are relative to the folder, and none outside of it is named; else to the checkout.

    Raises:
        OSError: git cannot compare them.
    """
    of_folder, of_checkout = (["--relative"], []) if relative else ([], ["--full-name"])
    differing = await _git(folder, "diff", "--name-only", *of_folder, "-z", since, "--", *places)
    new = await _git(folder, "ls-files", "--others", "--exclude-standard", *of_checkout, "-z", "--", *places)
    return [path for path in (differing + new).split("\0") if path]


async def _git(folder: Path, *words: str) -> str:
    """What git prints.

    Raises:
        OSError: it cannot be run, fails or takes too long.
    """
    ended = await run("git", *words, cwd=folder, seconds=GIT_SECONDS)
    if ended.status != 0:
        raise ChildProcessError(ended.words)
    return ended.out.decode(errors="surrogateescape")
