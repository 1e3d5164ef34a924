"""The address of a Docker daemon, in the form that Docker's client and its libraries take alike.

The client adds a missing scheme and port and trims blanks (docker/cli 28.5, opts/hosts.go); its libraries, the docker
provider's too, do not (docker/docker 28.5, client.ParseHostURL).
"""

import re
from urllib.parse import urlsplit

from kube_registry.docker_daemon.errors import DaemonAddressError

USUAL_ADDRESS = "unix:///var/run/docker.sock"
"""Where Docker's client looks first."""

_PASSWORD = re.compile(r"(://[^:@/]*):.*@")

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
    try:
        meant = _completed(text.strip())
    except ValueError:
        meant = USUAL_ADDRESS
    if meant != text:
        raise DaemonAddressError(source=source, host=_PASSWORD.sub(r"\1:***@", text), meant=meant)
    return text


def _completed(text: str) -> str:
    """Return the address that Docker's client makes of a text.

    Raises:
        ValueError: it makes none.
    """
    scheme, found, rest = text.partition("://")
    scheme = scheme.lower()
    if text.startswith("/"):  # Docker's client makes a place on localhost of it, which is never meant
        return f"unix://{text}"
    if scheme == "unix" and found:
        return f"unix://{rest}" if rest else USUAL_ADDRESS
    if scheme == "ssh" and found:
        return _completed_ssh(f"ssh://{rest}")
    if found and scheme not in ("tcp", "http", "https"):
        raise ValueError(f"a scheme that Docker does not know: {scheme}")
    return _completed_tcp(f"tcp://{rest if found else text}")


def _completed_tcp(text: str) -> str:
    place = urlsplit(text)
    host, port = place.hostname, place.port
    if port == 0:
        raise ValueError("no port has the number 0")
    if host and port and place.username is None:
        return text
    there = place.netloc.rpartition("@")[2].rstrip(":") if host else "localhost"
    return f"tcp://{there}{'' if host and port else f':{port or DOCKER_PORT}'}{place.path}"


def _completed_ssh(text: str) -> str:
    """Return ssh://[USER@]HOST[:PORT][/PATH], without a password (docker/cli, connhelper/ssh.NewSpec)."""
    place = urlsplit(text)
    _ = place.port  # raises ValueError where it is none
    if not place.hostname or place.query or place.fragment:
        raise ValueError("no host, or more than a host")
    if place.password is None:
        return text
    return f"ssh://{place.username}@{place.netloc.rpartition('@')[2]}{place.path}"
