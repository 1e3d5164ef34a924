"""The address of a Docker daemon, in the form that Docker's client and its libraries take alike.

The client adds a missing scheme and port and trims blanks (docker/cli 28.5, opts/hosts.go); its libraries, the docker
provider's too, do not (docker/docker 28.5, client.ParseHostURL).
"""

from urllib.parse import urlsplit

from stack.errors import DaemonAddressError

USUAL_ADDRESS = "unix:///var/run/docker.sock"
"""Where Docker's client looks first."""

DOCKER_PORT = 2375
"""Docker's own, where an address names none."""


def daemon_address(text: str, source: str) -> str:
    """Return an address that was given.

    Args:
        text: the address.
        source: what names it.

    Raises:
        DaemonAddressError: it is none; the error has the one that Docker's client makes of it.
    """
    meant = _completed(text.strip())
    if meant != text:
        raise DaemonAddressError(source=source, host=text, meant=meant or USUAL_ADDRESS)
    return text


def _completed(text: str) -> str | None:
    """Return the address that Docker's client makes of a text; None if it makes none."""
    scheme, found, rest = text.partition("://")
    if scheme == "unix" and found:
        return f"unix://{rest}" if rest else USUAL_ADDRESS
    if scheme == "ssh" and found:
        return text if _is_ssh(text) else None
    if found and scheme not in ("tcp", "http", "https"):
        return None
    return _completed_tcp(f"tcp://{rest if found else text}")


def _completed_tcp(text: str) -> str | None:
    try:
        place = urlsplit(text)
        host, port = place.hostname, place.port
    except ValueError:
        return None
    if host and port:
        return text
    return f"tcp://{place.netloc.rstrip(':') if host else 'localhost'}:{port or DOCKER_PORT}{place.path}"


def _is_ssh(text: str) -> bool:
    """Whether it is ssh://[USER@]HOST[:PORT][/PATH] (docker/cli, connhelper/ssh.NewSpec)."""
    try:
        place = urlsplit(text)
        _ = place.port
    except ValueError:
        return False
    return bool(place.hostname) and place.password is None and not place.query and not place.fragment
