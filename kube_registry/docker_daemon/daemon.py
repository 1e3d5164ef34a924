"""Check that the Docker daemon responds, before anything is created."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urlsplit

from kube_registry.docker_daemon.config import USUAL_HOSTS, chosen_daemon
from kube_registry.docker_daemon.errors import DaemonError

PING_SECONDS = 5.0
"""Timeout of the check."""

_PING = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"


async def prove_daemon(environment: Mapping[str, str]) -> None:
    """Check that a Docker daemon responds at the address that the docker provider will use.

    The address is DOCKER_HOST, or the current docker context, or one of the two usual sockets. A daemon behind ssh or
    TLS is left to the provider.

    Args:
        environment: the process's environment.

    Raises:
        DaemonError: no daemon responds.
    """
    named = chosen_daemon(environment)
    problems = []
    for host in [named] if named else USUAL_HOSTS:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await _ping(host)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            problems.append(DaemonError(host=host, reason=str(error) or f"no response within {PING_SECONDS:.0f} s"))
        else:
            return
    raise problems[0]


async def _ping(host: str) -> None:
    """Ping a daemon.

    Raises:
        OSError: nothing listens there.
        IncompleteReadError: the program that listens there is not a Docker daemon.
    """
    url = urlsplit(host)
    if url.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(url.path)
    elif url.scheme == "tcp":
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
    else:
        return
    with closing(writer):
        if url.scheme == "unix":
            writer.write(_PING)
            await reader.readuntil(b"OK")
