"""Ports of this machine's loopback."""

import errno
import random
import socket

_PORTS = range(10_240, 20_000)
"""Below the ports that Linux gives to outgoing connections (ip_local_port_range), and those of pushes."""


def free_port() -> int:
    """Return a port that no program listens on just now, at 127.0.0.1 nor at [::1], and that the kernel gives to none.

    A port of the kernel's choice would be given to another test before this one listens on it.
    """
    while not _is_free(port := random.choice(_PORTS)):  # noqa: S311 - no secret
        pass
    return port


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            socket.create_server((address, port), family=family).close()
        except OSError as error:  # a machine may have no IPv6
            if error.errno == errno.EADDRINUSE:
                return False
    return True
