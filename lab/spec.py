"""What a cluster is to be, in names and numbers: pure values, and the file that remembers them.

Owns names, addresses and folders. What is done with them is for the modules of the machines, the network and the
components.
"""

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import places
from lab.errors import LabError

LAYOUT = 1
"""Goes up when a cluster that an older lab left behind can no longer be picked up by this one."""

INDEXES = range(1, 9)
"""At most this many clusters at once."""

MOST_NODES = 20

PROXY_MODES = ("iptables", "nftables")

SERVICES = "10.96.0.0/16"
"""The service range: the same in every cluster, because it never leaves its nodes."""

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
_FILE = "cluster.json"
_LOGS = "logs"


@dataclass(frozen=True)
class NodeSpec:
    """One node: its name, its kube-proxy mode, its address and the range of its pods."""

    name: str
    proxy_mode: str
    address: str
    pods: str


@dataclass(frozen=True)
class ClusterSpec:
    """One cluster: everything else follows from these three."""

    name: str
    index: int
    proxy_modes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """All that the cluster keeps."""
        return folder_of(self.name)

    @property
    def pki(self) -> Path:
        """The certificate authority and the key of the service accounts."""
        return self.folder / "pki"

    @property
    def volumes(self) -> Path:
        """What the persistent volumes hold."""
        return self.folder / "volumes"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig.json"

    @property
    def kube_context(self) -> str:
        """The name of its kube context, in every kubeconfig of this cluster."""
        return f"lab-{self.name}"

    @property
    def subnet(self) -> str:
        """The network of the machines."""
        return f"10.{120 + self.index}.0.0/24"

    @property
    def api_address(self) -> str:
        """Where the control plane listens, for the nodes and for the host."""
        return self._host(1)

    @property
    def host_address(self) -> str:
        """Where machines and pods reach the host."""
        return self._host(2)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.api_address}:6443"

    @property
    def pods(self) -> str:
        """The range of all pods."""
        return f"10.{200 + self.index}.0.0/16"

    @property
    def host_interface(self) -> str:
        """The host's end of the link to the cluster."""
        return f"lab{self.index}"

    @property
    def nodes(self) -> tuple[NodeSpec, ...]:
        """The nodes, in the order of their proxy modes."""
        return tuple(
            NodeSpec(f"{self.name}-n{i}", mode, self._host(10 + i), f"10.{200 + self.index}.{i}.0/24")
            for i, mode in enumerate(self.proxy_modes)
        )

    def log(self, name: str) -> Path:
        """The log of a process or of a step."""
        return self.folder / _LOGS / f"{name}.log"

    def _host(self, number: int) -> str:
        return f"10.{120 + self.index}.0.{number}"


def folder_of(name: str) -> Path:
    """Where a cluster of that name keeps everything, whether it exists or not."""
    return places.STATE / name


def check_name(name: str) -> None:
    """Raise a LabError unless a cluster may be called that."""
    if not _NAME.fullmatch(name):
        raise LabError(
            f"A cluster cannot be called {name!r}: use at most 20 lower-case letters, digits and '-', a letter first."
        )


def check_folder(name: str) -> None:
    """Raise a LabError if the folder that a cluster of that name would have is something else's."""
    folder = folder_of(name)
    if folder.exists() and any(folder.iterdir()) and name not in names():
        raise LabError(f"A cluster cannot be called {name}: {folder} is another part of the lab; choose another name.")


def modes_for(nodes: int, proxy_modes: Sequence[str]) -> tuple[str, ...]:
    """One proxy mode for each of so many nodes.

    Args:
        nodes: how many nodes.
        proxy_modes: one for all of them, or one for each.

    Raises:
        LabError: a number or a mode that cannot be.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise LabError(f"A cluster cannot have {nodes} nodes: ask for 1 to {MOST_NODES}.")
    for mode in proxy_modes:
        if mode not in PROXY_MODES:
            raise LabError(f"kube-proxy has no mode {mode!r} here: ask for {' or '.join(PROXY_MODES)}.")
    if len(proxy_modes) == 1:
        return tuple(proxy_modes) * nodes
    if len(proxy_modes) != nodes:
        raise LabError(f"{len(proxy_modes)} proxy modes do not fit {nodes} nodes: name one for all or one for each.")
    return tuple(proxy_modes)


def saved(name: str) -> ClusterSpec | None:
    """The spec of a cluster that was asked for earlier; None if there is none, or none of this layout."""
    try:
        kept = json.loads((folder_of(name) / _FILE).read_text())
        if kept.pop("layout") != LAYOUT:
            return None
        return ClusterSpec(kept["name"], kept["index"], tuple(kept["proxy_modes"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save(spec: ClusterSpec) -> None:
    """Remember a spec; written in one go, so that a crash leaves all of it or nothing."""
    spec.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    kept = {"layout": LAYOUT, "name": spec.name, "index": spec.index, "proxy_modes": spec.proxy_modes}
    draft = spec.folder / f"{_FILE}.new"
    with draft.open("w") as file:
        json.dump(kept, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(spec.folder / _FILE)


def remove(name: str, *, but_logs: bool = False) -> None:
    """Remove a cluster's folder, the spec last: as long as a crash leaves anything, `names` knows of it. Idempotent."""
    folder = folder_of(name)
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.is_dir() and not (but_logs and entry.name == _LOGS):
            shutil.rmtree(entry)
        elif entry.is_file() and entry.name != _FILE:
            entry.unlink()
    if folder.exists() and not but_logs:
        shutil.rmtree(folder)


def names() -> list[str]:
    """The clusters that have a folder of their own, in order; also those that never came up."""
    return sorted({file.parent.name for file in places.STATE.glob(f"*/{_FILE}*")})
