"""The limit of every port-forward: `python -m tests.bench.direct PORT NETNS`.

Listens on this machine's loopback, connects to the write door in the pod's network namespace, and lets the kernel move
the bytes from one to the other (splice(2)): no API server, no node, no TLS, and no copy of ours.
"""

import ctypes
import os
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from kube_registry.names import WRITE_PORT

_CLONE_NEWNET = 0x40000000
"""setns(2): it is a network namespace."""

_PIECE = 64 * 1024
"""What a pipe holds (pipe(7))."""


def main() -> None:
    """Relay until it is ended; sockets stay in the namespace that they were made in."""
    port, netns = sys.argv[1:]
    with socket.create_server(("127.0.0.1", int(port))) as listener, Path(netns).open() as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {netns}")
        while True:
            here, _ = listener.accept()
            there = socket.create_connection(("127.0.0.1", WRITE_PORT))
            for ends in ((here, there), (there, here)):
                threading.Thread(target=_move, args=ends, daemon=True).start()


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
