"""Many nodes that fetch one image at once, played by one process.

Each reader has a network namespace and a link of its own to the cluster's network. It fetches the image's blobs as
containerd does: three at a time (its max_concurrent_downloads). Received bytes are counted
and discarded in the kernel (tcp(7), MSG_TRUNC), so that the machine's processors are left to the registry.
"""

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from time import monotonic

from lab.errors import LabError
from tests.bench.link import OWN_NETNS, enter

AT_ONCE = 3
"""Blobs that a reader fetches at the same time."""

SILENT_SECONDS = 60.0
"""How long no reader may get a byte."""

_BUFFER = 4 * 1024**2
_NAMESPACES = Path("/run/netns")
_FIRST_ADDRESS = 100
"""The last part of the first reader's address in the cluster's network; machines have lower ones."""


@dataclass(frozen=True)
class Links:
    """The network of the readers.

    Attributes:
        bridge_pid: a process in the network namespace of the cluster's bridge.
        network: the first three parts of its addresses.
        pods: ranges of pod addresses and the nodes that have them, as ip-route(8) writes them.
        rate: bits per second of each link, as tc(8) writes it.
    """

    bridge_pid: int
    network: str
    pods: tuple[str, ...]
    rate: str


@dataclass
class Reader:
    """A reader at work.

    Attributes:
        namespace: its network namespace.
        waiting: paths that it has not asked for.
        running: how many blobs it fetches at the moment.
        seconds: when it had all, from the start.
    """

    namespace: Path
    waiting: list[str]
    running: int = 0
    seconds: float = 0.0


@dataclass
class _Answer:
    reader: Reader
    head: bytearray = field(default_factory=bytearray)
    left: int | None = None


@contextmanager
def namespaces(count: int, links: Links) -> Iterator[list[Path]]:
    """Create a network namespace for each reader, connected with the cluster's bridge; they end with the block.

    Raises:
        LabError: one cannot be created.
    """
    names = [f"reader-{number}" for number in range(count)]
    try:
        for number, name in enumerate(names):
            address = f"{links.network}.{_FIRST_ADDRESS + number}/24"
            at_bridge = ["nsenter", f"--net=/proc/{links.bridge_pid}/ns/net"]
            _run("ip", "netns", "add", name)
            _run(
                *("ip", "link", "add", name, "netns", str(links.bridge_pid)),
                *("type", "veth", "peer", "name", "eth0", "netns", name),
            )
            _run("ip", "-netns", name, "addr", "add", address, "dev", "eth0")
            _run("ip", "-netns", name, "link", "set", "eth0", "up")
            for pods in links.pods:
                _run("ip", "-netns", name, "route", "add", *pods.split())
            _run(*at_bridge, "ip", "link", "set", name, "master", "br0", "up")
            _run(*at_bridge, *_limit(name, links.rate))
        yield [_NAMESPACES / name for name in names]
    finally:
        for name in names:
            if (_NAMESPACES / name).exists():
                _run("ip", "netns", "del", name)


@contextmanager
def limited(pid: int, device: str, rate: str) -> Iterator[None]:
    """Limit what a machine sends while the block runs.

    Args:
        pid: a process in its network namespace.
        device: its interface.
        rate: bits per second, as tc(8) writes it.
    """
    there = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    _run(*there, *_limit(device, rate))
    try:
        yield
    finally:
        _run(*there, "tc", "qdisc", "del", "dev", device, "root")


def fetch(namespaces: Sequence[Path], doors: Sequence[tuple[str, int]], paths: Sequence[str]) -> list[float]:
    """Let all readers fetch all paths, and return after how many seconds each had them.

    Args:
        namespaces: the network namespaces of the readers.
        doors: addresses and ports of the registry's pods, which connections take by turns.
        paths: the paths of the blobs in the registry's API.

    Raises:
        LabError: an answer is not 200, ends early, or nothing arrives for SILENT_SECONDS.
    """
    readers = [Reader(namespace, list(paths)) for namespace in namespaces]
    buffer, turns, start = bytearray(_BUFFER), cycle(doors), monotonic()
    with Path(OWN_NETNS).open() as own, DefaultSelector() as selector:

        def ask_on(reader: Reader) -> None:
            while reader.waiting and reader.running < AT_ONCE:
                door = next(turns)
                with reader.namespace.open() as there:
                    enter(there.fileno())
                    connection = socket.create_connection(door, timeout=SILENT_SECONDS)
                    enter(own.fileno())
                request = f"GET {reader.waiting.pop(0)} HTTP/1.1\r\nHost: {door[0]}\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode())
                connection.setblocking(False)  # noqa: FBT003 - its only argument
                selector.register(connection, EVENT_READ, _Answer(reader))
                reader.running += 1

        for reader in readers:
            ask_on(reader)
        while selector.get_map():
            ready = selector.select(SILENT_SECONDS)
            if not ready:
                raise LabError(f"No reader received a byte for {SILENT_SECONDS:.0f} s.")
            for key, _ in ready:
                connection, answer = key.fileobj, key.data
                assert isinstance(connection, socket.socket)
                if _take(connection, answer, buffer):
                    selector.unregister(connection)
                    connection.close()
                    answer.reader.running -= 1
                    ask_on(answer.reader)
                    answer.reader.seconds = monotonic() - start
    return [reader.seconds for reader in readers]


def _take(connection: socket.socket, answer: _Answer, buffer: bytearray) -> bool:
    """Take what has arrived; return whether the answer is complete."""
    if answer.left is None:
        answer.head += connection.recv(2048)
        head, end, body = bytes(answer.head).partition(b"\r\n\r\n")
        if not end:
            return False
        status, *lines = head.decode().split("\r\n")
        sizes = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
        if " 200 " not in status or not sizes:
            raise LabError(f"A reader was answered {status!r}.")
        answer.left = int(sizes[0]) - len(body)
        return answer.left == 0
    received = connection.recv_into(buffer, len(buffer), socket.MSG_TRUNC)
    if received == 0:
        raise LabError(f"An answer ended {answer.left} bytes early.")
    answer.left -= received
    return answer.left == 0


def _limit(device: str, rate: str) -> list[str]:
    return ["tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "1mb", "latency", "100ms"]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
