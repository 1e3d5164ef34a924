"""A part of the lab: programs that are built or installed together, and how to find them.

A part has a version, a purpose, a way to find it and a way to build it. lab/parts.py lists the parts.
"""

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from lab.gobuild import GoProgram
from lab.places import CACHE

_PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Program:
    """A program and its accepted versions: from `at_least` up to, but not including, `below`.

    `ask` are the arguments that print its version.
    """

    name: str
    ask: tuple[str, ...] = ()
    at_least: tuple[int, ...] = ()
    below: tuple[int, ...] = ()

    def serves(self, path: Path) -> bool:
        """Return whether the program at `path` runs and has an accepted version; without `ask` it need only exist."""
        if not self.ask:
            return True
        version = version_of(path, self.ask)
        return version is not None and self.at_least <= version < self.below


@dataclass(frozen=True)
class Part:
    """Programs that are built and used together.

    Attributes:
        name: the name for people.
        version: the version to build, or of Debian's package.
        purpose: what the lab needs it for.
        programs: the programs that it provides.
        builds: how to build them; none if only Debian's packages provide them.
        disk: bytes that a first build needs, including Go's caches.
        from_path: whether programs on PATH are used.
    """

    name: str
    version: str
    purpose: str
    programs: tuple[Program, ...]
    builds: tuple[GoProgram, ...]
    disk: int
    from_path: bool = True

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def key(self) -> str:
        """Its name in the cache, which changes with the way it is built."""
        recipe = hashlib.sha256("".join(program.fingerprint() for program in self.builds).encode()).hexdigest()[:8]
        return f"{self.name.lower().replace(' ', '-')}-{self.version}-{recipe}"

    def find(self) -> dict[str, Path] | None:
        """Return the paths of its programs: on PATH if all are accepted, else in the cache, else None."""
        return (self.from_path and self._on_path()) or self._in_cache()

    def _on_path(self) -> dict[str, Path] | None:
        found = {program.name: path for program in self.programs if (path := debian.locate(program.name))}
        if found == self._in_cache():
            return found  # built for this part, and on the PATH of the lab's environment; to ask each takes a second
        complete = len(found) == len(self.programs)  # checked first, because it is cheap
        return found if complete and all(program.serves(found[program.name]) for program in self.programs) else None

    def _in_cache(self) -> dict[str, Path] | None:
        folder = CACHE / self.key
        return {program.name: folder / program.name for program in self.programs} if folder.is_dir() else None


def version_of(program: Path, ask: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return the first version number in a program's output, or None if it fails or prints none."""
    try:
        answer = subprocess.run(
            [program, *ask],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.search(r"\d+\.\d+(\.\d+)?", answer.stdout)
    return tuple(map(int, number[0].split("."))) if number and answer.returncode == 0 else None
