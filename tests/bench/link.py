"""A slow and lossy link between this machine and machines of a lab: `python -m tests.bench.link HERE ADDRESS=PID…`.

HERE is this machine's address, ADDRESS=PID a machine's address and a process in its network namespace. All packets
between them go through a TUN device at each end and through this program, which delays every packet and loses some:
the kernel here has no sch_netem. TCP uses cubic on the link, Linux's default, whatever else this machine uses.
"""

import ctypes
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
from collections import deque
from pathlib import Path
from time import monotonic

ROUND_TRIP, LOSS = 0.1, 0.01
"""Seconds of delay in both directions together, and the part of the packets that is lost in each direction."""

DEVICE = "bench-link"
SEED = 13
OWN_NETNS = "/proc/self/ns/net"

_CLONE_NEWNET = 0x40000000
"""setns(2): it is a network namespace."""

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
"""linux/if_tun.h."""

_PACKET = 65_536
_DESTINATION = slice(16, 20)
"""Where an IPv4 packet has its destination (RFC 791, 3.1)."""


def main() -> None:
    """Carry packets until it is ended; the devices and their routes end with it."""
    here, *machines = sys.argv[1:]
    ends = {address: int(pid) for address, pid in (machine.split("=") for machine in machines)}
    with Path(OWN_NETNS).open() as own:
        devices = {}
        for address, pid in ends.items():
            with Path(f"/proc/{pid}/ns/net").open() as netns:
                enter(netns.fileno())
            devices[_packed(address)] = _device(address, here)
            enter(own.fileno())
    devices[_packed(here)] = _device(here, *ends)  # the last one: see `is_open`
    _carry(devices)


def is_open() -> bool:
    """Return whether this machine sends packets to the link."""
    return DEVICE in Path("/proc/net/route").read_text()


def _carry(devices: dict[bytes, int]) -> None:
    """Pass packets from device to device."""
    chance, waiting = random.Random(SEED), deque[tuple[float, bytes]]()  # noqa: S311 - a repeatable sequence of losses
    while True:
        pause = max(0.0, waiting[0][0] - monotonic()) if waiting else None
        for device in select.select(list(devices.values()), [], [], pause)[0]:
            packet = os.read(device, _PACKET)
            if packet[_DESTINATION] in devices and chance.random() >= LOSS:
                waiting.append((monotonic() + ROUND_TRIP / 2, packet))
        while waiting and waiting[0][0] <= monotonic():
            packet = waiting.popleft()[1]
            os.write(devices[packet[_DESTINATION]], packet)


def _device(source: str, *addresses: str) -> int:
    """Create a TUN device in the current network namespace, which gets the packets from a source to some addresses."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    lines = [f"link set {DEVICE} up"]
    lines += [f"route add {address}/32 dev {DEVICE} src {source} congctl cubic" for address in addresses]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=10)
    return device


def _packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def enter(netns: int) -> None:
    """Enter a network namespace with the current thread, given by an open file."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(netns, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


if __name__ == "__main__":
    main()
