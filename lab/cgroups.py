"""The control groups of the nodes: made before a kubelet starts, swept when its node is gone.

Knows both versions of cgroups. Only version 1 was ever run; version 2 is written from its documentation.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab.spec import ClusterSpec
from lab.waiting import wait_for

ROOT = "kube-registry-lab"
GONE_SECONDS = 10.0
"""How long the kernel may take to let go of a group whose processes have ended."""


def group_of(spec: ClusterSpec, node: str) -> str:
    """The group that all containers of a node are in, below the root of each hierarchy."""
    return f"{ROOT}/{spec.name}/{node}"


def create(group: str) -> None:
    """Make a group in every hierarchy, ready for processes. Idempotent."""
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
                # Version 1 starts a group with no processor and no memory, and then refuses processes.
                if old and (folder / name).exists():
                    (folder / name).write_text((folder.parent / name).read_text())


def remove(group: str, log: Path) -> None:
    """Remove a group and those below it, and above it those that are empty then. Idempotent.

    Raises:
        LabError: a group is still in use some seconds after its last process should have ended.
    """
    for hierarchy in (*_mounted("cgroup"), *_mounted("cgroup2")):
        top = hierarchy / group
        below = sorted(top.rglob("*/"), reverse=True) if top.exists() else []
        for folder in (*below, top):
            what = f"the kernel to let go of {folder}"
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
