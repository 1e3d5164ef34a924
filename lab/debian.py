"""Programs that come as Debian packages: which are missing, and installing those.

Only what is not on the machine is installed, and nothing is ever removed. Whether a package's service starts is left
to the machine: its policy-rc.d decides, as for every package.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run_logged
from lab.errors import LabError

INSTALL_LIMIT_SECONDS = 600.0
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
"""Where packages put programs; root's PATH does not always name them all."""


@dataclass(frozen=True)
class Package:
    """A Debian package and the programs that the lab wants of it, by name or by absolute path.

    `static` says that they go into images FROM scratch, where a program that loads libraries does not start.
    """

    name: str
    programs: tuple[str, ...]
    static: bool = False

    def present(self) -> bool:
        """Whether all its programs are on the machine, whoever put them there."""
        found = [locate(program) for program in self.programs]
        return all(path and (not self.static or _is_static(path)) for path in found)


PACKAGES = (
    Package("docker.io", ("dockerd",)),
    Package("openssh-client", ("ssh",)),
    Package("containerd", ("containerd", "ctr", "containerd-shim-runc-v2")),
    Package("runc", ("runc",)),
    Package(
        "containernetworking-plugins",
        tuple(f"/usr/lib/cni/{p}" for p in ("bridge", "host-local", "loopback", "portmap")),
    ),
    Package("iptables", ("iptables", "ip6tables")),
    Package("nftables", ("nft",)),
    Package("conntrack", ("conntrack",)),
    Package("iproute2", ("ip",)),
    Package("haproxy", ("haproxy",)),
    Package("tini", ("tini-static",), static=True),
    Package("busybox-static", ("busybox",), static=True),
)


def locate(program: str) -> Path | None:
    """The path of a program on PATH or in a system folder, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    found = shutil.which(program, path=path)
    return Path(found) if found else None


def missing(packages: Sequence[Package] = PACKAGES) -> tuple[Package, ...]:
    """The packages of which some program is not on the machine."""
    return tuple(package for package in packages if not package.present())


def install(packages: Sequence[Package], log: Path) -> None:
    """Install packages with apt-get.

    Raises:
        LabError: this is no Debian, apt-get failed, or a program is still not there.
    """
    names = [package.name for package in packages]
    if not shutil.which("apt-get"):
        programs = ", ".join(program for package in packages for program in package.programs)
        raise LabError(
            f"Not found: {programs}; there is no apt-get here, so install them by hand (in Debian: {' '.join(names)})."
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_logged(["apt-get", "update"], log=log, limit=INSTALL_LIMIT_SECONDS, env=environment)
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    run_logged(command, log=log, limit=INSTALL_LIMIT_SECONDS, env=environment)
    if still := missing(packages):
        raise LabError(
            f"apt-get installed {still[0].name}, but {', '.join(still[0].programs)} is not there; its log is {log}."
        )


def _is_static(program: Path) -> bool:
    """Whether an ELF file names no loader; the name stands right behind its headers."""
    with program.open("rb") as file:
        return b"/ld-" not in file.read(4096)
