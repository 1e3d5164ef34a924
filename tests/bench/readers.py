"""Many nodes that fetch one image at once, played by one process.

Each reader has a network namespace and a link of its own to the cluster's network. It fetches the image's blobs as
containerd does: three at a time (its max_concurrent_downloads). Received bytes are counted
and discarded in the kernel (tcp(7), MSG_TRUNC), so that the machine's processors are left to the registry. A transfer
that ends early is resumed where it ended, as containerd does (core/remotes/docker/httpreadseeker.go).
"""

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from selectors import EVENT_READ, BaseSelector, DefaultSelector
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
        resumed: how many transfers ended early.
    """

    namespace: Path
    waiting: list[str]
    running: int = 0
    seconds: float = 0.0
    resumed: int = 0


@dataclass
class _Transfer:
    """A blob on its way to a reader.

    Attributes:
        reader: the reader.
        path: the path of the blob.
        received: how many bytes of it the reader has.
        before: how many it had when the present request began.
        head: what has arrived of the answer's head.
        left: how many bytes of the answer are missing; None before its head has arrived.
    """

    reader: Reader
    path: str
    received: int = 0
    before: int = 0
    head: bytearray = field(default_factory=bytearray)
    left: int | None = None

    def request(self, host: str) -> bytes:
        """Return a request for the bytes that the reader lacks."""
        self.before, self.head, self.left = self.received, bytearray(), None
        lines = (f"GET {self.path} HTTP/1.1", f"Host: {host}", f"Range: bytes={self.received}-", "Connection: close")
        return "\r\n".join([*lines, "", ""]).encode()


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


def fetch(namespaces: Sequence[Path], doors: Sequence[tuple[str, int]], paths: Sequence[str]) -> list[Reader]:
    """Let all readers fetch all paths, and return the readers.

    Args:
        namespaces: the network namespaces of the readers.
        doors: addresses and ports of the registry's pods, which connections take by turns.
        paths: the paths of the blobs in the registry's API.

    Raises:
        LabError: a blob is refused, a transfer ends without a byte, or nothing arrives for SILENT_SECONDS.
    """
    readers = [Reader(namespace, list(paths)) for namespace in namespaces]
    buffer, turns, start = bytearray(_BUFFER), cycle(doors), monotonic()
    with Path(OWN_NETNS).open() as own, DefaultSelector() as selector:

        def ask(transfer: _Transfer) -> None:
            door = next(turns)
            with transfer.reader.namespace.open() as there:
                enter(there.fileno())
                connection = socket.create_connection(door, timeout=SILENT_SECONDS)
                enter(own.fileno())
            connection.sendall(transfer.request(door[0]))
            connection.setblocking(False)  # noqa: FBT003 - its only argument
            selector.register(connection, EVENT_READ, transfer)

        def ask_on(reader: Reader) -> None:
            while reader.waiting and reader.running < AT_ONCE:
                reader.running += 1
                ask(_Transfer(reader, reader.waiting.pop(0)))

        for reader in readers:
            ask_on(reader)
        for connection, transfer in _ended(selector, buffer):
            reader = transfer.reader
            selector.unregister(connection)
            connection.close()
            if transfer.left != 0:
                reader.resumed += 1
                ask(transfer)
                continue
            reader.running -= 1
            ask_on(reader)
            reader.seconds = monotonic() - start
    return readers


def _ended(selector: BaseSelector, buffer: bytearray) -> Iterator[tuple[socket.socket, _Transfer]]:
    """Take what arrives on all connections, and yield those that have ended, until none is left."""
    while selector.get_map():
        ready = selector.select(SILENT_SECONDS)
        if not ready:
            raise LabError(f"No reader received a byte for {SILENT_SECONDS:.0f} s.")
        for key, _ in ready:
            connection, transfer = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            if _take(connection, transfer, buffer):
                yield connection, transfer


def _take(connection: socket.socket, transfer: _Transfer, buffer: bytearray) -> bool:
    """Take what has arrived; return whether the answer has ended."""
    try:
        received = _received(connection, transfer, buffer)
    except ConnectionResetError:
        received = 0
    if received == 0:
        if transfer.received == transfer.before:
            raise LabError(f"The transfer of {transfer.path} ended without a byte.")
        return True
    return transfer.left == 0


def _received(connection: socket.socket, transfer: _Transfer, buffer: bytearray) -> int:
    """Receive a part of the head or of the body, and return its size; 0 at the end of the connection."""
    if transfer.left is not None:
        received = connection.recv_into(buffer, len(buffer), socket.MSG_TRUNC)
        transfer.left -= received
        transfer.received += received
        return received
    part = connection.recv(2048)
    transfer.head += part
    head, end, body = bytes(transfer.head).partition(b"\r\n\r\n")
    if end:
        status, *lines = head.decode().split("\r\n")
        sizes = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
        if not (" 200 " in status or " 206 " in status) or not sizes:
            raise LabError(f"A reader was answered {status!r}.")
        transfer.left = int(sizes[0]) - len(body)
        transfer.received += len(body)
    return len(part)


def _limit(device: str, rate: str) -> list[str]:
    return ["tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "1mb", "latency", "100ms"]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
