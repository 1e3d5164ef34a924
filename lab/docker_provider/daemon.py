"""The parts of the Docker engine's HTTP API that building and pushing an image needs.

It does not use the Docker SDK, which supports neither BuildKit builds nor the cancellation of a build without output.
"""

import io
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from lab.docker_provider.errors import ProviderError, RefusedError

PING_SECONDS = 5.0
"""How long an engine may take to respond to a ping. Builds have no time limit."""


@dataclass(frozen=True)
class Daemon:
    """A Docker engine at `host`, such as unix:///var/run/docker.sock or tcp://127.0.0.1:2375."""

    host: str
    _connections: set[HTTPConnection] = field(default_factory=set, compare=False, repr=False)

    def answers(self) -> bool:
        """Return whether it responds."""
        try:
            with self._connection(PING_SECONDS) as connection:
                connection.request("GET", "/_ping")
                return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's OK
        except (OSError, HTTPException):
            return False

    def get(self, path: str) -> dict[str, Any]:
        """Return the object at a path.

        Raises:
            RefusedError: the engine rejected the request.
            ProviderError: the connection broke.
        """
        with self._talking(), self._connection() as connection:
            connection.request("GET", path)
            found: dict[str, Any] = json.load(_accepted(connection))
            return found

    def post(self, path: str, headers: Mapping[str, str], body: IO[bytes] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the messages of a build or a push as they arrive.

        Raises:
            RefusedError: the engine rejected the request.
            ProviderError: the connection broke, or `cancel` was called.
        """
        with self._talking(), self._connection() as connection:
            # An engine that rejects a request early does not read the whole body; its response has the reason.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", path, body=body, headers=dict(headers))
            for line in _lines(_accepted(connection)):
                if line.strip():
                    yield json.loads(line)

    @contextmanager
    def hijacked(
        self, path: str, protocol: str, headers: Mapping[str, str]
    ) -> Iterator[tuple[io.BufferedReader, socket.socket]]:
        """Open a connection that switches to another protocol; yield the ends to read from and to write to.

        Raises:
            RefusedError: the engine rejected the request.
            ProviderError: the connection broke.
        """
        with self._talking(), self._connection() as connection:
            connection.request("POST", path, headers={**headers, "Connection": "Upgrade", "Upgrade": protocol})
            yield _accepted(connection).fp, connection.sock

    def cancel(self) -> None:
        """Cancel all requests by closing their connections; the engine then ends the builds."""
        for connection in list(self._connections):
            with suppress(OSError, AttributeError):  # AttributeError: it is being closed
                connection.sock.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _connection(self, timeout: float | None = None) -> Iterator[HTTPConnection]:
        connection = _connect(self.host, timeout)
        self._connections.add(connection)
        try:
            yield connection
        finally:
            self._connections.discard(connection)
            connection.close()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException, json.JSONDecodeError) as error:
            raise ProviderError(f"the connection to the Docker engine at {self.host} broke: {error}") from error


def find(host: str | None) -> Daemon:
    """Return the engine that responds at `host`, or at Docker's usual sockets if `host` is None.

    Raises:
        ProviderError: no engine responds, or `host` uses TLS or ssh, which the stand-in does not support.
    """
    usual = ["unix:///var/run/docker.sock"]
    usual += [f"unix://{Path.home()}/.docker/{folder}/docker.sock" for folder in ("run", "desktop")]
    for candidate in [host] if host else usual:
        daemon = Daemon(candidate)
        if daemon.answers():
            return daemon
    raise ProviderError("failed to connect to any docker daemon")


def configured_host(variables: Mapping[str, str]) -> str | None:
    """Return the host from the provider's configuration, else from the environment.

    Raises:
        ProviderError: the configuration uses an option that the stand-in does not support.
    """
    config = {name.removeprefix("docker:config:"): value for name, value in variables.items()}
    for name in ("caMaterial", "certMaterial", "keyMaterial", "certPath", "registryAuth"):
        if config.get(name):
            raise ProviderError(
                f"the offline stand-in for the Docker provider does not support docker:{name}. "
                "Fix: remove it from the configuration, or install the real plugin"
            )
    return config.get("host") or os.environ.get("DOCKER_HOST") or None


def _connect(host: str, timeout: float | None) -> HTTPConnection:
    url = urlsplit(host)
    if url.scheme == "unix":
        connection = HTTPConnection("docker")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        connection.sock.connect(url.path)
        return connection
    if url.scheme in ("tcp", "http") and url.hostname:
        return HTTPConnection(url.hostname, url.port or 2375, timeout=timeout)
    raise ProviderError(
        f"the offline stand-in for the Docker provider supports unix:// and tcp:// addresses only, not {host!r}. "
        "Fix: set docker:host or DOCKER_HOST, or install the real plugin"
    )


def _accepted(connection: HTTPConnection) -> HTTPResponse:
    response = connection.getresponse()
    if response.status >= 400:  # noqa: PLR2004 - the first error status of HTTP
        text = response.read().decode(errors="replace")
        with suppress(json.JSONDecodeError, KeyError, TypeError):
            text = json.loads(text)["message"]
        raise RefusedError(f"Error response from daemon: {text.strip()}")
    return response


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """Yield the lines of a response; unlike the response's own iterator, raise an error if its end is missing."""
    begun = b""
    while piece := response.read1():
        *lines, begun = (begun + piece).split(b"\n")
        yield from lines
    yield begun
