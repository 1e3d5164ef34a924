"""The disks of VMs: Debian with a kernel of its own, and the programs and images of a cluster's nodes.

Both are built once: what a VM writes is lost when it ends.
"""

import hashlib
import shutil
from functools import partial
from pathlib import Path

from lab import images
from lab.commands import run_logged
from lab.debian import LEFT_OUT, SUITE, without_documentation
from lab.parts import of_cluster
from lab.toolchain import make, tool
from lab.versions import Versions

BUILD_SECONDS = 900.0
MAKE_SECONDS = 60.0

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "kubelet", "kube-proxy")

_PACKAGES = (
    "busybox-static",
    "conntrack",
    "containernetworking-plugins",
    "e2fsprogs",
    "iproute2",
    "ipset",
    "iptables",
    "ipvsadm",
    "kmod",
    "mount",
    "nfs-common",
    "nftables",
    "procps",
    "qemu-guest-agent",
    "runc",
    "tini",
)
_SIZE = "8G"
"""Of a file system; the disk has only the blocks that were written."""

_FOLDER = Path(__file__).parent
_SCRIPTS = tuple(_FOLDER / name for name in ("build.sh", "initramfs.sh", "guest.sh"))
_IMPORT = _FOLDER / "import.sh"


def system() -> Path:
    """Return the folder with `vmlinuz`, `initramfs` and `root.img`, which the first call builds.

    Raises:
        LabError: the build failed; the message names the log.
    """
    recipe = f"{SUITE} {_PACKAGES} {LEFT_OUT} {_SIZE} {[script.read_text() for script in _SCRIPTS]}"
    return make(f"vm-{_digest(recipe)}", _build_system)


def programs(versions: Versions) -> Path:
    """Return the disk with the programs and images of a cluster's nodes, which the first call creates.

    Raises:
        LabError: a program is missing, or mke2fs failed.
    """
    found = {name: tool(name, of_cluster(versions)) for name in PROGRAMS}
    archive = images.archive()
    states = [file.stat() for file in (*found.values(), archive)]
    recipe = f"{_IMPORT.read_text()} {found} {archive} {[(state.st_size, state.st_mtime_ns) for state in states]}"
    return make(f"vm-programs-{_digest(recipe)}", partial(_build_programs, found, archive)) / "programs.img"


def _build_system(work: Path, result: Path, log: Path) -> None:
    root = work / "root"
    build, *inits = map(str, _SCRIPTS)
    hook = f'sh {build} "$1" {result} {" ".join(inits)}'
    packages = ["--variant=apt", f"--include={','.join(_PACKAGES)}", *without_documentation()]
    command = ["mmdebstrap", "--mode=root", *packages, f"--customize-hook={hook}"]
    run_logged([*command, SUITE, str(root)], log=log, limit=BUILD_SECONDS)
    _make_disk(root, result / "root.img", log)
    shutil.rmtree(root)


def _build_programs(found: dict[str, Path], archive: Path, work: Path, result: Path, log: Path) -> None:
    folder = work / "bin"
    folder.mkdir()
    for name, program in found.items():
        real = folder / program.resolve().name
        if not real.exists():
            shutil.copy(program, real)
        if real.name != name:
            (folder / name).symlink_to(real.name)
    command = ["sh", str(_IMPORT), str(found["containerd"]), str(found["ctr"]), str(archive), str(work / "containerd")]
    run_logged(command, log=log, limit=MAKE_SECONDS)
    _make_disk(work, result / "programs.img", log)


def _make_disk(folder: Path, disk: Path, log: Path) -> None:
    # What is written is lost, so that a journal would only cost time.
    command = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(folder), str(disk), _SIZE]
    run_logged(command, log=log, limit=MAKE_SECONDS)


def _digest(recipe: str) -> str:
    return hashlib.sha256(recipe.encode()).hexdigest()[:8]
