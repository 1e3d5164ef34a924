"""Find and install missing programs that come from Debian packages.

Only missing packages are installed, and none is removed. As for every package, the machine's policy-rc.d decides
whether a service starts.
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
"""Folders where packages install programs; root's PATH does not always contain all of them."""


@dataclass(frozen=True)
class Package:
    """A Debian package and the programs that the lab needs from it, by name or by absolute path.

    `static` means that they are copied into images FROM scratch, where only statically linked programs start.
    """

    name: str
    programs: tuple[str, ...]
    static: bool = False

    def present(self) -> bool:
        """Return whether all its programs are on the machine, from whatever source."""
        found = [locate(program) for program in self.programs]
        return all(path and (not self.static or _is_static(path)) for path in found)


MMDEBSTRAP = Package("mmdebstrap", ("mmdebstrap",))
_BUSYBOX = Package("busybox-static", ("busybox",), static=True)

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
    _BUSYBOX,
)

VM_PACKAGES = (
    Package("qemu-system-x86", ("qemu-system-x86_64",)),
    MMDEBSTRAP,
    Package("e2fsprogs", ("mke2fs",)),
    _BUSYBOX,
)
"""What only VMs need."""

SUITE = "bookworm"
"""The release that mmdebstrap installs into disks and images."""

LEFT_OUT = ("doc", "locale", "man")
"""Folders of /usr/share that it leaves out."""


def without_documentation() -> tuple[str, ...]:
    """Return mmdebstrap's options for LEFT_OUT."""
    return tuple(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in LEFT_OUT)


def locate(program: str) -> Path | None:
    """Return the path of a program on PATH or in a system folder, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    found = shutil.which(program, path=path)
    return Path(found) if found else None


def missing(packages: Sequence[Package] = PACKAGES) -> tuple[Package, ...]:
    """Return the packages with at least one missing program."""
    return tuple(package for package in packages if not package.present())


def install(packages: Sequence[Package], log: Path) -> None:
    """Install packages with apt-get.

    Raises:
        LabError: there is no apt-get, it failed, or a program is still missing.
    """
    names = [package.name for package in packages]
    if not shutil.which("apt-get"):
        programs = ", ".join(program for package in packages for program in package.programs)
        raise LabError(
            f"Not found: {programs}, and there is no apt-get. "
            f"Fix: install them; their Debian packages are {' '.join(names)}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_logged(["apt-get", "update"], log=log, limit=INSTALL_LIMIT_SECONDS, env=environment)
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    run_logged(command, log=log, limit=INSTALL_LIMIT_SECONDS, env=environment)
    if still := missing(packages):
        raise LabError(
            f"apt-get installed {still[0].name}, but {', '.join(still[0].programs)} is missing; see its log {log}."
        )


def _is_static(program: Path) -> bool:
    """Return whether an ELF file names no loader; the name follows the headers."""
    with program.open("rb") as file:
        return b"/ld-" not in file.read(4096)
