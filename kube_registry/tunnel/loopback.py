"""Listen on a port of this machine's loopback, on both its addresses.

Docker resolves the name in the push address, and connects to [::1] before 127.0.0.1 if "localhost" is both (RFC 6724).
Another user's program on [::1] would receive what is pushed, so the port is taken on both addresses or on neither.
"""

import errno
import os
import socket

_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_PREFERRED = " on [::1], which Docker tries before 127.0.0.1"


def bind(port: int) -> list[socket.socket]:
    """Listen on a port of 127.0.0.1, and of [::1] if this machine has that address.

    Args:
        port: the port; 0 lets the system choose one, on 127.0.0.1 only, because no name is used for it.

    Returns:
        Listening sockets, which the caller closes; the first is on 127.0.0.1.

    Raises:
        OSError: another program uses the port, or it is not allowed; its strerror names [::1] if that failed.
    """
    ours = [_listener(socket.AF_INET, "127.0.0.1", port, "")]
    if port:
        try:
            ours.append(_listener(socket.AF_INET6, "::1", port, _PREFERRED))
        except OSError as error:
            if error.errno not in _NO_IPV6:
                ours[0].close()
                raise
    return ours


def _listener(family: socket.AddressFamily, address: str, port: int, remark: str) -> socket.socket:
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:  # its message shows the address as a Python tuple
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)}{remark}") from error
