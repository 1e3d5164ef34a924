"""Find, install or build the programs that a cluster needs.

Suitable programs on PATH are used. The others come from a cache outside of the checkout, and are built if they are
missing there. A build is added to the cache completely or not at all, and concurrent runs never build the same part
twice. lab/parts.py and lab/debian.py list the parts.
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
from lab.part import Part
from lab.parts import EXTRAS, needed
from lab.places import CACHE
from lab.progress import Progress
from lab.versions import chosen
from lab.waiting import wait_for

LOCK_LIMIT_SECONDS = 3600.0
"""How long to wait for another run that is building: as long as a build may take."""


def provide(progress: Progress, parts: Sequence[Part] = ()) -> None:
    """Install missing Debian packages and build missing parts; print nothing if none is missing.

    Args:
        progress: where to print.
        parts: the parts; by default all that the demo and the tests need in the chosen versions.

    Raises:
        LabError: this machine cannot run the lab, or a package or part cannot be installed or built.
    """
    check_machine()
    packages = debian.missing()
    wanted = parts or needed(chosen())
    absent = [part for part in wanted if part.builds and not part.find()]
    if absent:
        gobuild.check_go()
        _check_disk(sum(part.disk for part in absent))
    steps = progress.steps(len(absent) + bool(packages))
    if packages:
        with steps.step(f"Debian packages {', '.join(package.name for package in packages)}", "installing"):
            install_packages(packages)
    for part in absent:
        with steps.step(part.title, "building"):
            make(part.key, partial(_build_part, part))
    for part in wanted:
        if not part.find():
            names = ", ".join(program.name for program in part.programs)
            raise LabError(
                f"{names} on PATH are not {part.title}, which the lab only takes from Debian 12. "
                "Fix: choose the newest version, which the lab builds"
            )


def build(part: Part) -> None:
    """Build a part if it is missing; this requires only Go.

    Raises:
        LabError: it cannot be built.
    """
    if not part.find():
        gobuild.check_go()
        make(part.key, partial(_build_part, part))


def install_packages(packages: Sequence[debian.Package]) -> None:
    """Install those of some Debian packages that are missing.

    Raises:
        LabError: they cannot be installed.
    """
    with locked(CACHE / "locks" / "packages"):
        if missing := debian.missing(packages):
            debian.install(missing, CACHE / "logs" / "packages.log")


def tool(name: str, parts: Sequence[Part] = ()) -> Path:
    """Return the path of a program that `provide` has installed or built.

    Args:
        name: the program.
        parts: the parts that may contain it; by default all, in the chosen versions.

    Raises:
        LabError: it was not found; `make up` installs or builds it.
    """
    for part in parts or (*needed(chosen()), *EXTRAS):
        if name in {program.name for program in part.programs}:
            found = part.find()
            if found:
                return found[name]
            raise LabError(f"{name} ({part.title}) is neither on PATH nor in {CACHE}. Fix: `make up` builds it")
    path = debian.locate(name)
    if not path:
        raise LabError(f"{name} is not on PATH. Fix: `make up` installs it")
    return path


def make(key: str, build: Callable[[Path, Path, Path], None], cache: Path = CACHE) -> Path:
    """Return a folder of the cache; if it does not exist, create it completely with `build`, or not at all.

    Args:
        key: the folder's name.
        build: called with an empty work folder, an empty result folder, and the log file.
        cache: the folder of results, logs and locks.

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
    """Hold a lock on a file; the kernel releases it if the process is killed.

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
            f"another run to release {path}",
            log=path.parent.parent / "logs" / f"{path.name}.log",
            seconds=limit,
        )
        yield


def _build_part(part: Part, work: Path, result: Path, log: Path) -> None:
    for program in part.builds:
        gobuild.build(program, work, result, log)
    absent = [program.name for program in part.programs if not (result / program.name).exists()]
    if absent:
        raise LabError(f"The build of {part.title} did not create {', '.join(absent)}; see its log {log}.")


def _check_disk(needed: int) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if free < needed:
        raise LabError(
            f"Building the missing parts requires {needed / 1e9:.0f} GB, and {CACHE} has {free / 1e9:.1f} GB left. "
            "Fix: free disk space, or set XDG_CACHE_HOME to a folder on a larger disk"
        )
