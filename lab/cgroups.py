"""Create the control group of a node before its kubelet starts, and remove it after the node is gone.

Supports both versions of cgroups. Only version 1 was tested; version 2 follows its documentation.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab.spec import ClusterSpec
from lab.waiting import wait_for

ROOT = "kube-registry-lab"
GONE_SECONDS = 10.0
"""How long the kernel may take to release a group whose processes have ended."""


def group_of(spec: ClusterSpec, node: str) -> str:
    """Return the group that contains all containers of a node, relative to the root of each hierarchy."""
    return f"{ROOT}/{spec.name}/{node}"


def create(group: str) -> None:
    """Create a group in every hierarchy, so that processes can join it. Idempotent."""
    old = list(_mounted("cgroup"))
    for hierarchy in old or _mounted("cgroup2"):
        folder = hierarchy
        for part in Path(group).parts:
            if not old:
                controllers = (folder / "cgroup.controllers").read_text().split()
                (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
            folder /= part
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                # In version 1 a new group has no CPUs and no memory nodes, and rejects processes.
                if old and (folder / name).exists():
                    (folder / name).write_text((folder.parent / name).read_text())


def remove(group: str, log: Path) -> None:
    """Remove a group, the groups below it, and parents that are then empty. Idempotent.

    Raises:
        LabError: a group is still in use after `GONE_SECONDS`.
    """
    for hierarchy in (*_mounted("cgroup"), *_mounted("cgroup2")):
        top = hierarchy / group
        below = sorted(top.rglob("*/"), reverse=True) if top.exists() else []
        for folder in (*below, top):
            what = f"the kernel to release {folder}"
            wait_for(partial(_removed, folder), what, log=log, seconds=GONE_SECONDS)
        with suppress(OSError):
            for parent in Path(group).parents[:-1]:
                (hierarchy / parent).rmdir()


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _mounted(kind: str) -> Iterator[Path]:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, found, *_ = line.split()
        if found == kind:
            yield Path(place)
