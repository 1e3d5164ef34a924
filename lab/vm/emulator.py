"""QEMU's process for a VM: how it is started, and what it is connected with.

The process is in the network and PID namespace of the control plane, so that it ends with the cluster, and its network
interface is a port of the cluster's bridge. The CPU is emulated: on a computer that is a VM itself, KVM may exist and
fail.
"""

import platform
from pathlib import Path

from lab import control_plane, network, processes
from lab.errors import LabError
from lab.processes import Process
from lab.spec import ClusterSpec, NodeSpec
from lab.vm import disks
from lab.vm.agent import Agent
from lab.waiting import wait_for

BOOT_SECONDS = 180.0
TAP_SECONDS = 20.0
MEMORY = "1G"

_TRANSLATED_MEGABYTES = 256
"""Limit of QEMU's cache of translated code, which otherwise grows to 1 GB."""


def check_processor() -> None:
    """Raise a LabError if this computer cannot start the VMs."""
    if platform.machine() != "x86_64":
        raise LabError(
            f"VMs of the lab have Debian's kernel for amd64, and this computer has {platform.machine()}. "
            "Fix: use a computer with an x86-64 processor"
        )


def agent_of(spec: ClusterSpec, node: NodeSpec) -> Agent:
    """Return the guest agent of a VM."""
    return Agent(spec.folder / "vms" / f"{node.name}.sock")


def log_of(spec: ClusterSpec, node: NodeSpec) -> Path:
    """Return the log of a VM: of QEMU, of the kernel, and of the processes of Kubernetes."""
    return spec.log(node.name)


def provide_disks(spec: ClusterSpec) -> None:
    """Build the disks that are missing.

    Raises:
        LabError: one cannot be built; the message names the log.
    """
    disks.system()
    disks.programs(spec.versions)


def runs(spec: ClusterSpec, node: NodeSpec) -> bool:
    """Return whether a VM runs."""
    process = _process(spec, node)
    return bool(process and process.alive)


def boot(spec: ClusterSpec, node: NodeSpec) -> None:
    """Start a VM that does not run, connected with the bridge. The guest agent responds some seconds later.

    Raises:
        LabError: a disk cannot be built, the cluster does not run, or QEMU ended immediately.
    """
    machine = control_plane.machine_of(spec)
    system, programs, log = disks.system(), disks.programs(spec.versions), log_of(spec, node)
    agent_of(spec, node).path.parent.mkdir(exist_ok=True)
    # The mount namespace of the control plane hides the lab's folders.
    namespaces = ["nsenter", f"--target={machine.pid}", "--net", "--pid", "--"]
    process = processes.start(
        [*namespaces, *_command(spec, node, system, programs)],
        record=_record(spec, node),
        log=log,
        mark=machine.mark(node.name),
        forks=True,
    )
    port = network.port_of(spec, node)

    def plugged() -> bool:
        _check(node, process, log)
        return port in machine.interfaces

    wait_for(plugged, f"QEMU to create the interface of {node.name}", log=log, seconds=TAP_SECONDS)
    network.plug(machine, port)


def wait_until_booted(spec: ClusterSpec, node: NodeSpec) -> None:
    """Wait until the guest agent of a VM responds.

    Raises:
        LabError: QEMU ended, or the VM did not boot in time.
    """
    process, agent, log = _process(spec, node), agent_of(spec, node), log_of(spec, node)

    def booted() -> bool:
        _check(node, process, log)
        return agent.responds()

    wait_for(booted, f"{node.name} to boot", log=log, seconds=BOOT_SECONDS)


def halt(spec: ClusterSpec, node: NodeSpec) -> None:
    """Stop a VM at once, as a power failure does. Idempotent."""
    process = _process(spec, node)
    if process:
        processes.end(process)


def _check(node: NodeSpec, process: Process | None, log: Path) -> None:
    if not process or not process.alive:
        raise LabError(f"The VM {node.name} has ended; see {log}.")


def _record(spec: ClusterSpec, node: NodeSpec) -> Path:
    return control_plane.machine_of(spec).record(node.name)


def _process(spec: ClusterSpec, node: NodeSpec) -> Process | None:
    return processes.recorded(_record(spec, node))


def _command(spec: ClusterSpec, node: NodeSpec, system: Path, programs: Path) -> list[str]:
    log = log_of(spec, node)
    options = {
        "machine": ["q35"],
        "accel": [f"tcg,thread=multi,tb-size={_TRANSLATED_MEGABYTES}"],
        "smp": ["2"],
        "m": [MEMORY],
        "kernel": [str(system / "vmlinuz")],
        "initrd": [str(system / "initramfs")],
        "append": [f"console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off hostname={node.name}"],
        # What the VM writes is in a temporary file without a name.
        "drive": [
            f"file={system / 'root.img'},format=raw,if=virtio,snapshot=on",
            f"file={programs},format=raw,if=virtio,snapshot=on",
        ],
        "netdev": [f"tap,id=net,ifname={network.port_of(spec, node)},script=no,downscript=no"],
        "chardev": [
            f"file,id=serial,path={log},append=on",
            f"file,id=console,path={log},append=on",
            f"socket,id=agent,path={agent_of(spec, node).path},server=on,wait=off",
        ],
        "serial": ["chardev:serial"],
        "device": [
            f"virtio-net-pci,netdev=net,mac={network.mac(node.address)},romfile=",
            "virtio-rng-pci",
            "virtio-serial-pci",
            "virtconsole,chardev=console",
            "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        ],
    }
    flags = ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    chosen = [word for name, values in options.items() for value in values for word in (f"-{name}", value)]
    return ["qemu-system-x86_64", *flags, *chosen]
