"""Ports of this machine's loopback."""

import socket


def free_port() -> int:
    """Return a port that no program listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
