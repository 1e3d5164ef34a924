"""Check the address of a Docker daemon: Docker's client and its libraries must both accept it.

The client adds a missing scheme and port and trims whitespace (docker/cli 28.5, opts/hosts.go). Its libraries, which
the docker provider uses, do not (docker/docker 28.5, client.ParseHostURL).
"""

import re
from urllib.parse import urlsplit

from kube_registry.docker_daemon.errors import DaemonAddressError

USUAL_ADDRESS = "unix:///var/run/docker.sock"
"""The address that Docker's client tries first."""

_PASSWORD = re.compile(r"(://[^:@/]*):.*@")

DOCKER_PORT = 2375
"""Docker's default port."""


def daemon_address(text: str, source: str) -> str:
    """Check and return an address.

    Args:
        text: the address.
        source: where it was set, for errors.

    Raises:
        DaemonAddressError: it is not valid; the error has the address that Docker's client would use.
    """
    try:
        meant = _completed(text.strip())
    except ValueError:
        meant = USUAL_ADDRESS
    if meant != text:
        raise DaemonAddressError(source=source, host=_PASSWORD.sub(r"\1:***@", text), meant=meant)
    return text


def _completed(text: str) -> str:
    """Return the address that Docker's client would use.

    Raises:
        ValueError: Docker's client does not accept the text.
    """
    scheme, found, rest = text.partition("://")
    scheme = scheme.lower()
    if text.startswith("/"):  # Docker's client would read a path on localhost, which is never intended
        return f"unix://{text}"
    if scheme == "unix" and found:
        return f"unix://{rest}" if rest else USUAL_ADDRESS
    if scheme == "ssh" and found:
        return _completed_ssh(f"ssh://{rest}")
    if found and scheme not in ("tcp", "http", "https"):
        raise ValueError(f"Docker does not support the scheme {scheme}")
    return _completed_tcp(f"tcp://{rest if found else text}")


def _completed_tcp(text: str) -> str:
    url = urlsplit(text)
    host, port = url.hostname, url.port
    if port == 0:
        raise ValueError("0 is not a valid port")
    if host and port and url.username is None:
        return text
    there = url.netloc.rpartition("@")[2].rstrip(":") if host else "localhost"
    return f"tcp://{there}{'' if host and port else f':{port or DOCKER_PORT}'}{url.path}"


def _completed_ssh(text: str) -> str:
    """Return ssh://[USER@]HOST[:PORT][/PATH], without a password (docker/cli, connhelper/ssh.NewSpec)."""
    url = urlsplit(text)
    _ = url.port  # raises ValueError if it is not valid
    if not url.hostname or url.query or url.fragment:
        raise ValueError("the host is missing, or there is a query or fragment")
    if url.password is None:
        return text
    return f"ssh://{url.username}@{url.netloc.rpartition('@')[2]}{url.path}"
