"""Everything that must be on the machine before a cluster can start: found, installed or built, once.

What works on PATH is used; the rest comes from the cache outside the checkout, and is built into it where it is
missing. A build appears in the cache whole or not at all, and two runs never build the same thing twice. Which parts
there are is said in lab/parts.py and lab/debian.py; starting them is others' business.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lab import debian, gobuild
from lab.errors import LabError
from lab.host import check_machine
from lab.parts import ACTIONLINT, BUILDX, KUBERNETES_PLUGIN, PACKAGE_SDK, PARTS, PULUMI_YAML, Part
from lab.places import CACHE
from lab.progress import Progress
from lab.waiting import wait_for

LOCK_LIMIT_SECONDS = 3600.0
"""How long to wait for another run that is building; as long as a build may take."""


def provide(progress: Progress, parts: Sequence[Part] = PARTS) -> None:
    """Install and build whatever of the Debian packages and `parts` is missing; says nothing where nothing is.

    Raises:
        LabError: this machine cannot run a lab, or a package or a part cannot be had.
    """
    check_machine()
    packages = debian.missing()
    absent = [part for part in parts if not part.find()]
    if absent:
        gobuild.check_go()
        _check_disk(sum(part.disk for part in absent))
    steps = progress.steps(len(absent) + bool(packages))
    if packages:
        with steps.step(f"Debian packages {', '.join(package.name for package in packages)}", "installing"):
            _install_packages()
    for part in absent:
        with steps.step(part.title, "building"):
            make(part.key, partial(_build_part, part))


def build(part: Part) -> None:
    """Build one part where it is missing; that takes Go and no more.

    Raises:
        LabError: it cannot be built.
    """
    if not part.find():
        gobuild.check_go()
        make(part.key, partial(_build_part, part))


def tool(name: str) -> Path:
    """The path of a program that `provide` has provided.

    Raises:
        LabError: it is nowhere to be found; `make up` installs or builds it.
    """
    for part in (*PARTS, KUBERNETES_PLUGIN, ACTIONLINT, BUILDX, PULUMI_YAML, PACKAGE_SDK):
        if name in {program.name for program in part.programs}:
            found = part.find()
            if found:
                return found[name]
            raise LabError(f"{name} ({part.title}) is neither on PATH nor in {CACHE}; `make up` builds it.")
    path = debian.locate(name)
    if not path:
        raise LabError(f"{name} is not on PATH; `make up` installs what the lab needs.")
    return path


def make(key: str, build: Callable[[Path, Path, Path], None], cache: Path = CACHE) -> Path:
    """The folder `key` of the cache, filled by `build` where it is not there yet; whole or not at all.

    Args:
        key: the folder's name.
        build: called with an empty folder to work in, an empty one to fill, and the log to write to.
        cache: where folders, logs and locks are.

    Raises:
        LabError: the build failed, or another run did not finish the same build in time.
    """
    finished = cache / key
    with locked(cache / "locks" / key):
        if finished.is_dir():
            return finished
        attempt = cache / "unfinished" / key
        shutil.rmtree(attempt, ignore_errors=True)  # left by a run that was killed
        (attempt / "work").mkdir(parents=True)
        (attempt / "result").mkdir()
        try:
            build(attempt / "work", attempt / "result", cache / "logs" / f"{key}.log")
            (attempt / "result").rename(finished)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
    return finished


@contextmanager
def locked(path: Path, limit: float = LOCK_LIMIT_SECONDS) -> Iterator[None]:
    """Hold a lock file; it is let go even if we are killed.

    Raises:
        LabError: another run held it for longer than `limit` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:

        def ours() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_for(
            ours,
            f"another run to let go of {path}",
            log=path.parent.parent / "logs" / f"{path.name}.log",
            seconds=limit,
        )
        yield


def _install_packages() -> None:
    with locked(CACHE / "locks" / "packages"):
        if packages := debian.missing():
            debian.install(packages, CACHE / "logs" / "packages.log")


def _build_part(part: Part, work: Path, result: Path, log: Path) -> None:
    for program in part.builds:
        gobuild.build(program, work, result, log)
    absent = [program.name for program in part.programs if not (result / program.name).exists()]
    if absent:
        raise LabError(f"The build of {part.title} made no {', '.join(absent)}; its log is {log}.")


def _check_disk(needed: int) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if free < needed:
        raise LabError(
            f"Building what is missing takes {needed / 1e9:.0f} GB and {CACHE} has {free / 1e9:.1f} GB left; "
            "make room or set XDG_CACHE_HOME to a larger disk."
        )
