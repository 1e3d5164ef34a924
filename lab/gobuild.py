"""Build Go programs from the modules in lab/go.

The go.mod and go.sum of a module pin and verify every dependency, so every machine builds the same program. The module
is copied before the build, so that the checkout does not change. lab/toolchain.py decides what to build and where, and
prevents concurrent builds.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from lab.commands import run_logged
from lab.errors import LabError

MODULES = Path(__file__).parent / "go"
GO_AT_LEAST = (1, 21)
"""From this version on, the go command downloads the newer Go that a module requires."""
LIMIT_SECONDS = 3600.0
"""The slowest build takes seven minutes on two cores."""


@dataclass(frozen=True)
class ModuleFile:
    """A file in a Go module."""

    module: str
    path: str


@dataclass(frozen=True)
class GoProgram:
    """A program and how to build it.

    Attributes:
        name: the file name of the program.
        module: the folder in lab/go with its go.mod, go.sum and, if it has a main of the lab, main.go.
        package: the package to build, relative to that module.
        stamps: variables that the linker sets, as "import/path.name=value".
        embeds: files that the lab's main embeds. They are too large for this repository, so they are copied from
            their module.
        beside: files to copy next to the program. A new name for this field would change the key of every build.
        links: further names of the program, which decide what it does.
        tags: build tags.
    """

    name: str
    module: str
    package: str = "."
    stamps: tuple[str, ...] = ()
    embeds: tuple[ModuleFile, ...] = ()
    beside: tuple[ModuleFile, ...] = ()
    links: tuple[str, ...] = ()
    tags: tuple[str, ...] = field(default=(), repr=False)  # not in the keys of programs without tags

    def fingerprint(self) -> str:
        """Return eight hex digits that change whenever the result of the build would change."""
        digest = hashlib.sha256(repr(self).encode() + " ".join(self.tags).encode())
        for file in sorted((MODULES / self.module).iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:8]


def check_go() -> None:
    """Check that a suitable Go is on PATH.

    Raises:
        LabError: there is none, or it is too old.
    """
    fix = "Fix: install Go 1.26 or newer (https://go.dev/dl) and add it to PATH"
    if not shutil.which("go"):
        raise LabError(f"The lab has to build missing parts, and there is no go on PATH. {fix}")
    answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", answer)
    if not version or (int(version[1]), int(version[2])) < GO_AT_LEAST:
        raise LabError(
            f"{shutil.which('go')} cannot build the lab: {answer.strip() or 'it reports no version'} is too old. {fix}"
        )


def build(program: GoProgram, work: Path, into: Path, log: Path) -> None:
    """Build a program, its links and its companion files into the folder `into`.

    Args:
        program: the program.
        work: the part's folder for copies of modules.
        into: an existing folder.
        log: the file to which the output of the go command is appended.

    Raises:
        LabError: the go command failed or took longer than `LIMIT_SECONDS`.
    """
    # Several programs of a part may be of one module.
    module = shutil.copytree(MODULES / program.module, work / program.module, dirs_exist_ok=True)
    for file in program.embeds:
        shutil.copyfile(_path_of(file, module, log), module / Path(file.path).name)
    stamps = " ".join(f"-X {stamp}" for stamp in program.stamps)
    target = into / program.name
    # Without debug information the build is faster and Go's cache smaller.
    flags = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-ldflags=-s -w {stamps}"]
    flags += [f"-tags={','.join(program.tags)}"] if program.tags else []
    _go(["build", *flags, "-o", str(target), program.package], module, log)
    for link in program.links:
        (into / link).symlink_to(program.name)
    for file in program.beside:
        shutil.copyfile(_path_of(file, module, log), into / Path(file.path).name)
        (into / Path(file.path).name).chmod(0o755)


def _path_of(file: ModuleFile, module: Path, log: Path) -> Path:
    answer = _go(["mod", "download", "-json", file.module], module, log)
    return Path(str(json.loads(answer)["Dir"])) / file.path


def _go(arguments: list[str], module: Path, log: Path) -> str:
    # Without cgo the programs run in an image FROM scratch, and the build needs no C compiler. With GOGC=400, compilers
    # collect garbage less often: a build takes a tenth less time, and each compiler up to 1.5 GB of memory.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOGC": "400", "GOWORK": "off"}
    return run_logged(["go", *arguments], log=log, limit=LIMIT_SECONDS, cwd=module, env=environment)
