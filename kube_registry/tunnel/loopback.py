"""A port of this machine's loopback, at both of its addresses.

Docker looks up the name in the push address, and dials [::1] before 127.0.0.1 where "localhost" is both (RFC 6724). A
program of somebody else that listens there would get what is pushed, so the port is taken at both or not at all.
"""

import errno
import os
import socket

_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_DIALLED_FIRST = " at [::1], which Docker dials first where localhost is both"


def bind(port: int) -> list[socket.socket]:
    """Take a port, at [::1] too unless this machine has no such address.

    Args:
        port: 0 lets the system choose one, at 127.0.0.1 only: no name leads to that.

    Returns:
        Sockets that listen, which the caller closes; the first is at 127.0.0.1.

    Raises:
        OSError: another program has it, or it may not be taken; its strerror names [::1] where that is the one.
    """
    ours = [_listener(socket.AF_INET, "127.0.0.1", port, "")]
    if port:
        try:
            ours.append(_listener(socket.AF_INET6, "::1", port, _DIALLED_FIRST))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                ours[0].close()
                raise
    return ours


def _listener(family: socket.AddressFamily, address: str, port: int, remark: str) -> socket.socket:
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:  # whose own words name the address in the form of a Python tuple
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)}{remark}") from error
