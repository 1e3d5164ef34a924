"""Building Go programs from the module files under lab/go, into a folder of the caller's choice.

A module's go.mod and go.sum pin and verify every dependency, so two machines build the same program. The checkout is
only read: the module is copied out before it is built. What is built, where it ends up and who else might be building
it is the toolchain's business.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run_logged
from lab.errors import LabError

MODULES = Path(__file__).parent / "go"
GO_AT_LEAST = (1, 21)
"""From here on the go command fetches by itself the newer Go that a module asks for."""
LIMIT_SECONDS = 3600.0
"""The slowest build takes seven minutes on two cores."""


@dataclass(frozen=True)
class ModuleFile:
    """A file that a Go module carries beside its code."""

    module: str
    path: str


@dataclass(frozen=True)
class GoProgram:
    """One program and the way it is built.

    Attributes:
        name: the file it becomes.
        module: the folder under lab/go that holds its go.mod, go.sum and, where the main is ours, main.go.
        package: the package to build, as seen from that module.
        stamps: variables that the linker sets, as "import/path.name=value".
        embeds: files that our main embeds; too large to keep here, so they are copied out of their module.
        beside: files that belong next to the finished program.
        links: further names of the program; it does what the name says.
    """

    name: str
    module: str
    package: str = "."
    stamps: tuple[str, ...] = ()
    embeds: tuple[ModuleFile, ...] = ()
    beside: tuple[ModuleFile, ...] = ()
    links: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Eight hex digits that change whenever the program would come out different."""
        digest = hashlib.sha256(repr(self).encode())
        for file in sorted((MODULES / self.module).iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()[:8]


def check_go() -> None:
    """Make sure that a Go which can build is on PATH.

    Raises:
        LabError: there is none, or it is too old.
    """
    wanted = "put Go 1.26 or newer on PATH (https://go.dev/dl)"
    if not shutil.which("go"):
        raise LabError(f"The lab has to build some of its parts and there is no go on PATH: {wanted}.")
    answer = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", answer)
    if not version or (int(version[1]), int(version[2])) < GO_AT_LEAST:
        raise LabError(
            f"{shutil.which('go')} is {answer.strip() or 'no Go that answers'}, too old to build the lab: {wanted}."
        )


def build(program: GoProgram, work: Path, into: Path, log: Path) -> None:
    """Build one program, its links and the files beside it into the folder `into`.

    Args:
        program: what to build.
        work: an empty folder for the copy of the module.
        into: an existing folder.
        log: the file that the Go tool's output is appended to.

    Raises:
        LabError: the Go tool failed or took longer than `LIMIT_SECONDS`.
    """
    module = shutil.copytree(MODULES / program.module, work / program.module)
    for file in program.embeds:
        shutil.copyfile(_path_of(file, module, log), module / Path(file.path).name)
    stamps = " ".join(f"-X {stamp}" for stamp in program.stamps)
    target = into / program.name
    # Nobody debugs these: without that information they are built faster, and Go's cache of them is smaller.
    flags = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", f"-ldflags=-s -w {stamps}"]
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
    # No cgo: the programs then run in an image FROM scratch, and no C compiler is needed.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    return run_logged(["go", *arguments], log=log, limit=LIMIT_SECONDS, cwd=module, env=environment)
