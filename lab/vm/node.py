"""A VM as a node of a cluster: the same containerd, kubelet and kube-proxy as on the other nodes, on another kernel.

A VM is not part of the cluster's specification: it joins a running cluster, and ends with it. Its files are lost when
it ends.
"""

import io
import subprocess
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rich.console import Console

from lab import cgroups, cluster, debian, health, kube_api, network, nodes
from lab.errors import LabError
from lab.progress import Progress
from lab.spec import ClusterSpec, NodeSpec
from lab.toolchain import install_packages, locked
from lab.vm import emulator
from lab.vm.agent import checked
from lab.waiting import wait_for

PROXY_MODES = ("iptables", "nftables", "ipvs")
READY_SECONDS = 240.0
"""Much more than on an idle computer: other tests may use its cores."""

PAUSE_SECONDS = 0.5
"""Between two checks that cost the VM time."""

CONTAINERD_SECONDS = 120.0
COMMAND_SECONDS = 120.0


@dataclass(frozen=True)
class VmNode:
    """A VM that has joined a cluster.

    Attributes:
        spec: the cluster.
        node: its name, address, pod range, and the proxy mode that it joined with.
    """

    spec: ClusterSpec
    node: NodeSpec

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return self.node.name

    @property
    def address(self) -> str:
        """Its IP address, reachable from the host."""
        return self.node.address

    def run(self, *command: str, timeout: float = 60.0, given: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command in the VM as root, outside of all containers; a failure raises nothing.

        Args:
            command: the program and its arguments.
            timeout: seconds after which it is killed.
            given: its standard input.

        Raises:
            LabError: the VM does not respond, or has no such program.
            subprocess.TimeoutExpired: it took too long.
        """
        return emulator.agent_of(self.spec, self.node).run(*command, given=given, seconds=timeout)

    def change_proxy_mode(self, mode: str) -> None:
        """Restart kube-proxy in another mode, and wait until its rules are applied.

        Args:
            mode: "iptables", "nftables" or "ipvs".

        Raises:
            LabError: the mode does not exist, or kube-proxy did not stop, start or become ready.
        """
        _check_mode(mode)
        stop = ["start-stop-daemon", "--stop", "--oknodo", "--retry=TERM/10/KILL/10", "--remove-pidfile"]
        self._succeed(*stop, f"--pidfile=/run/{nodes.PROXY}.pid")
        self._succeed("sh", "-c", _REMOVE_RULES)
        self._start(replace(self.node, proxy_mode=mode), nodes.PROXY)
        _wait_for_rules(self)

    def start(self) -> None:
        """Start all processes on the booted VM and wait until the node is Ready.

        Raises:
            LabError: a process did not start, or was not ready in time.
        """
        log = emulator.log_of(self.spec, self.node)
        self._succeed("ip", "-batch", "-", given="\n".join(network.commands(self.spec, self.node)).encode())
        self._start(self.node, nodes.CONTAINERD)

        def listening() -> bool:
            return self.run("test", "-S", f"/run/{nodes.CONTAINERD_SOCKET}").returncode == 0

        what = f"containerd on {self.name} to listen"
        wait_for(listening, what, log=log, seconds=CONTAINERD_SECONDS, pause=PAUSE_SECONDS)
        self._succeed("sh", "-euc", _CREATE_GROUP, "sh", cgroups.group_of(self.spec, self.name))
        since = time.time()
        self._start(self.node, nodes.KUBELET)
        self._start(self.node, nodes.PROXY)

        def ready() -> bool:
            return health.is_ready_since(self.spec, self.name, since)

        wait_for(ready, f"{self.name} to be Ready", log=log, seconds=READY_SECONDS, pause=PAUSE_SECONDS)
        _wait_for_rules(self)

    def _start(self, node: NodeSpec, process: str) -> None:
        self._succeed("tar", "-xC", "/", given=_archive(nodes.files(self.spec, node, process)))
        daemon = ["start-stop-daemon", "--start", "--background", "--make-pidfile", "--output=/dev/hvc0"]
        shell = ["--startas=/bin/sh", "--", "-c", 'exec "$@"', "sh"]
        command = nodes.commands(node)[process]
        self._succeed(*daemon, f"--pidfile=/run/{process}.pid", *shell, *command)

    def _succeed(self, *command: str, given: bytes = b"") -> None:
        checked(self.run(*command, given=given, timeout=COMMAND_SECONDS), self.name)


def join(name: str, *, proxy_mode: str = "iptables", report: Progress | None = None) -> VmNode:
    """Start a VM as a further node of a running cluster, and wait until it is Ready.

    The first call installs QEMU and builds the VM's disk, which takes minutes.

    Args:
        name: the cluster.
        proxy_mode: kube-proxy's mode: "iptables", "nftables" or "ipvs".
        report: where to print progress.

    Raises:
        LabError: this computer cannot run VMs, the cluster does not run or has `spec.MOST_VMS` already, or the VM did
            not become a Ready node.
    """
    _check_mode(proxy_mode)
    emulator.check_processor()
    spec = cluster.known(name)
    report = report or Progress(Console(quiet=True))
    if debian.missing(debian.VM_PACKAGES):
        with report.running("Debian packages for VMs", "installing"):
            install_packages(debian.VM_PACKAGES)
    with report.running("disks of VMs", "building"):
        emulator.provide_disks(spec)
    with locked(spec.folder / "locks" / "vms"):
        joining = VmNode(spec, replace(_free(spec), proxy_mode=proxy_mode))
        emulator.boot(spec, joining.node)
    try:
        with report.running(f"cluster {name}: {joining.name}", "booting"):
            kube_api.delete(spec, f"/api/v1/nodes/{joining.name}")  # of a VM that ended without `leave`
            emulator.wait_until_booted(spec, joining.node)
        with report.running(f"cluster {name}: {joining.name}", "joining"):
            joining.start()
    except BaseException:
        leave(joining)
        raise
    return joining


def leave(vm: VmNode) -> None:
    """Stop a VM at once, as a power failure does, and remove it from its cluster. Idempotent.

    Raises:
        LabError: QEMU did not end.
    """
    emulator.halt(vm.spec, vm.node)
    kube_api.delete(vm.spec, f"/api/v1/nodes/{vm.name}")


_CREATE_GROUP = """\
group=/sys/fs/cgroup
for name in $(echo "$1" | tr / ' '); do
    sed 's/[a-z]*/+&/g' "$group/cgroup.controllers" >"$group/cgroup.subtree_control"
    group=$group/$name
    mkdir -p "$group"
done
"""

_REMOVE_RULES = """\
for command in iptables ip6tables; do
    $command-save | grep -v KUBE- | $command-restore
done
for family in ip ip6; do
    nft delete table $family kube-proxy
done
ipvsadm --clear
ip link delete kube-ipvs0
ipset destroy
true
"""
"""Remove the rules of every mode: kube-proxy does not remove those of every other mode when it starts, and
`kube-proxy --cleanup` fails on some of its own chains. Rules of other programs, such as those of host ports, stay."""


def _check_mode(mode: str) -> None:
    if mode not in PROXY_MODES:
        raise LabError(f"kube-proxy mode {mode!r} is not supported: it must be {', '.join(PROXY_MODES)}.")


def _free(spec: ClusterSpec) -> NodeSpec:
    for node in spec.vms:
        if not emulator.runs(spec, node):
            return node
    raise LabError(f"Cluster {spec.name} has {len(spec.vms)} VMs already, which is the limit.")


def _wait_for_rules(vm: VmNode) -> None:
    log = emulator.log_of(vm.spec, vm.node)

    def applied() -> bool:
        return nodes.has_service_rules(vm.node)

    what = f"kube-proxy on {vm.name} to have the service rules"
    wait_for(applied, what, log=log, seconds=READY_SECONDS, pause=PAUSE_SECONDS)


def _archive(files: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.removeprefix("/"))
            entry.size, entry.mode = len(text.encode()), 0o600
            tar.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()
