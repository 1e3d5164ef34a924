"""The specification of a cluster: its names, addresses and folders, and the file that stores it."""

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import places
from lab.errors import LabError
from lab.versions import Versions, chosen

LAYOUT = 2
"""Increase this when the lab can no longer use clusters of its older versions."""

INDEXES = range(1, 17)
"""The numbers of clusters, and so the limit of concurrent clusters."""

MOST_NODES = 20

MOST_VMS = 4
"""The limit of VMs that can join a cluster; lab/vm describes them."""

PROXY_MODES = ("iptables", "nftables")

SERVICES = "10.96.0.0/16"
"""The service range, which is the same in every cluster, because it is not used outside of its nodes."""

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
_FILE = "cluster.json"
_LOGS = "logs"


@dataclass(frozen=True)
class NodeSpec:
    """A node: its name, kube-proxy mode, address and pod range."""

    name: str
    proxy_mode: str
    address: str
    pods: str


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster: everything else is derived from these four fields."""

    name: str
    index: int
    proxy_modes: tuple[str, ...]
    versions: Versions = field(default_factory=chosen)

    @property
    def folder(self) -> Path:
        """The folder of the cluster's files."""
        return folder_of(self.name)

    @property
    def pki(self) -> Path:
        """The certificate authority and the key of the service accounts."""
        return self.folder / "pki"

    @property
    def volumes(self) -> Path:
        """The folder of the persistent volumes."""
        return self.folder / "volumes"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
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
        """The address of the control plane, for the nodes and the host."""
        return self._host(1)

    @property
    def host_address(self) -> str:
        """The address of the host, for machines and pods."""
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

    @property
    def vms(self) -> tuple[NodeSpec, ...]:
        """The nodes that VMs can join as, in iptables mode; every machine has a route to their pods from the start."""
        return tuple(
            NodeSpec(f"{self.name}-vm{i}", "iptables", self._host(100 + i), f"10.{200 + self.index}.{100 + i}.0/24")
            for i in range(MOST_VMS)
        )

    def log(self, name: str) -> Path:
        """Return the log of a process or of a step."""
        return self.folder / _LOGS / f"{name}.log"

    def _host(self, number: int) -> str:
        return f"10.{120 + self.index}.0.{number}"


def folder_of(name: str) -> Path:
    """Return the folder of a cluster, whether it exists or not."""
    return places.STATE / name


def check_name(name: str) -> None:
    """Raise a LabError unless a name is valid for a cluster."""
    if not _NAME.fullmatch(name):
        raise LabError(
            f"Cluster name {name!r} is not valid: it must consist of at most 20 lower-case letters, digits and '-', "
            "and start with a letter."
        )


def check_folder(name: str) -> None:
    """Raise a LabError if the folder for a cluster is used by another part of the lab."""
    folder = folder_of(name)
    if folder.exists() and any(folder.iterdir()) and name not in names():
        raise LabError(f"Cluster name {name} is reserved: {folder} is another part of the lab. Fix: use another name")


def modes_for(nodes: int, proxy_modes: Sequence[str]) -> tuple[str, ...]:
    """Return the proxy mode of each node.

    Args:
        nodes: the number of nodes.
        proxy_modes: one mode for all nodes, or one for each.

    Raises:
        LabError: the number of nodes or a mode is not valid.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise LabError(f"A cluster cannot have {nodes} nodes: the number must be from 1 to {MOST_NODES}.")
    for mode in proxy_modes:
        if mode not in PROXY_MODES:
            raise LabError(f"kube-proxy mode {mode!r} is not supported: it must be {' or '.join(PROXY_MODES)}.")
    if len(proxy_modes) == 1:
        return tuple(proxy_modes) * nodes
    if len(proxy_modes) != nodes:
        raise LabError(
            f"{len(proxy_modes)} proxy modes do not match {nodes} nodes. Fix: give one for all, or one for each"
        )
    return tuple(proxy_modes)


def saved(name: str) -> ClusterSpec | None:
    """Return the stored spec of a cluster, or None if there is none of this layout."""
    try:
        kept = json.loads((folder_of(name) / _FILE).read_text())
        if kept.pop("layout") != LAYOUT:
            return None
        versions = Versions(**kept["versions"])
        return ClusterSpec(kept["name"], kept["index"], tuple(kept["proxy_modes"]), versions)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save(spec: ClusterSpec) -> None:
    """Store a spec atomically, so that a crash leaves either all of it or nothing."""
    spec.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    kept = {"layout": LAYOUT, **asdict(spec)}
    draft = spec.folder / f"{_FILE}.new"
    with draft.open("w") as file:
        json.dump(kept, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(spec.folder / _FILE)


def remove(name: str, *, but_logs: bool = False) -> None:
    """Remove a cluster's folder, and the spec last, so that `names` lists the cluster until then. Idempotent."""
    folder = folder_of(name)
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.is_dir() and not (but_logs and entry.name == _LOGS):
            shutil.rmtree(entry)
        elif entry.is_file() and entry.name != _FILE:
            entry.unlink()
    if folder.exists() and not but_logs:
        shutil.rmtree(folder)


def names() -> list[str]:
    """Return the sorted names of clusters that have a folder, including those that never started."""
    return sorted({file.parent.name for file in places.STATE.glob(f"*/{_FILE}*")})
