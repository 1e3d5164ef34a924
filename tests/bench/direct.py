"""The limit of every port-forward: `python -m tests.bench.direct ADDRESS PORT NETNS ADDRESS PORT NETNS`.

Listens in the first network namespace, connects in the second one, and lets the kernel move the
bytes from one to the other (splice(2)): no API server, no node, no TLS, and no copy of ours.
"""

import ctypes
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

_CLONE_NEWNET = 0x40000000
"""setns(2): it is a network namespace."""

_PIECE = 64 * 1024
"""What a pipe holds (pipe(7))."""


def main() -> None:
    """Relay until it is ended; sockets stay in the namespace that they were made in."""
    address, port, here, far_address, far_port, there = sys.argv[1:]
    _enter(here)
    with socket.create_server((address, int(port))) as listener:
        _enter(there)
        while True:
            near, _ = listener.accept()
            far = socket.create_connection((far_address, int(far_port)))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_move, args=ends, daemon=True).start()


def _enter(netns: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(netns).open() as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {netns}")


def _move(source: socket.socket, sink: socket.socket) -> None:
    """Move one way until it ends, and pass the end on."""
    out, into = os.pipe()
    try:
        with suppress(ConnectionError):
            while count := os.splice(source.fileno(), into, _PIECE):
                while count:
                    count -= os.splice(out, sink.fileno(), count)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
    finally:
        os.close(out)
        os.close(into)


main()
