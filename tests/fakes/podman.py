"""Debian's Podman, installed by the first test that needs it, with storage and registries.conf.d of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.debian import Package
from lab.toolchain import install_packages, tool
from lab.waiting import wait_for

_PACKAGES = (Package("podman", ("podman",)), Package("crun", ("crun",)))
_START = 'mount --bind "$1" /etc/containers/registries.conf.d && shift && exec "$@"'
START_SECONDS = 30.0
COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Podman:
    """A folder for Podman's storage."""

    folder: Path

    @property
    def command(self) -> list[str]:
        """The start of a command."""
        return [str(tool("podman")), "--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")]

    def run(self, *words: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
        )
        return done.stdout


@dataclass(frozen=True)
class Service:
    """Podman's API at a socket."""

    host: str
    process: "subprocess.Popen[bytes]"

    def shell(self, line: str) -> None:
        """Run a command line as root where the service runs, in a mount namespace of its own."""
        namespace = f"/proc/{self.process.pid}/ns/mnt"
        subprocess.run(["nsenter", f"--mount={namespace}", "sh", "-c", line], check=True, timeout=COMMAND_SECONDS)


@contextmanager
def podman() -> Iterator[Podman]:
    """A block with Podman, which is installed where it is missing, and a folder for it."""
    install_packages(_PACKAGES)
    folder = Path(tempfile.mkdtemp(prefix="podman-", dir="/run"))  # Podman takes no path of more than 50 letters
    try:
        yield Podman(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def serving(here: Podman) -> Iterator[Service]:
    """A block in which Podman's service runs, with what `shell` has written in a block before."""
    settings, socket, log = here.folder / "registries.conf.d", here.folder / "sock", here.folder / "log"
    settings.mkdir(exist_ok=True)
    service = [*here.command, "system", "service", "--time=0", f"unix://{socket}"]
    start = ["unshare", "--mount", "--propagation=private", "sh", "-c", _START, "sh", str(settings), *service]
    with log.open("w") as output, subprocess.Popen(start, stdout=output, stderr=output) as process:
        try:
            wait_for(socket.is_socket, "Podman's service", log=log, seconds=START_SECONDS)
            yield Service(f"unix://{socket}", process)
        finally:
            process.terminate()
