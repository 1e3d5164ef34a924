"""Attach to a container through the Docker daemon's API, as a stream in both directions at once.

The docker SDK returns a blocking socket, which asyncio cannot use over TLS.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from docker.utils import kwargs_from_env

_READ_AHEAD = 1024 * 1024


@asynccontextmanager
async def attached(
    environment: Mapping[str, str], host: str, container: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Attach to a container's standard input, output and error while the block runs (ContainerAttach).

    Args:
        environment: the process's environment, which names TLS certificates as for Docker's client.
        host: unix://PATH or tcp://HOST:PORT.
        container: id of the container.

    Raises:
        OSError: the daemon cannot be reached, or refused to attach.
    """
    url = urlsplit(host)
    if url.scheme == "unix":
        opening = asyncio.open_unix_connection(url.path, limit=_READ_AHEAD)
    else:
        opening = asyncio.open_connection(url.hostname, url.port, ssl=_tls(environment), limit=_READ_AHEAD)
    reader, writer = await opening
    try:
        base = "" if url.scheme == "unix" else url.path.rstrip("/")
        path = f"{base}/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if head.split()[1] not in ("101", "200"):
            raise OSError(f"the Docker daemon refused to attach: {head.splitlines()[0]}")
        yield reader, writer
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the Docker daemon closed the connection") from error
    finally:
        writer.transport.abort()  # unsent data does not matter


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return TLS settings for DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as in the docker SDK; None for plain TCP."""
    tls = kwargs_from_env(environment=environment).get("tls")
    if not tls:
        return None
    context = ssl.create_default_context(cafile=tls.ca_cert)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(*tls.cert)
    return context
