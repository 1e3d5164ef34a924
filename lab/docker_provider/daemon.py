"""The Docker engine's HTTP API, as much of it as an image needs on its way to a registry.

Speaks HTTP itself because the Docker SDK can neither ask for a BuildKit build nor break off one that is silent.
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
"""How long an engine may take to say that it is there. What it builds may take as long as it wants."""


@dataclass(frozen=True)
class Daemon:
    """A Docker engine at `host`, such as unix:///var/run/docker.sock or tcp://127.0.0.1:2375."""

    host: str
    _connections: set[HTTPConnection] = field(default_factory=set, compare=False, repr=False)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            with self._connection(PING_SECONDS) as connection:
                connection.request("GET", "/_ping")
                return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's own word for yes
        except (OSError, HTTPException):
            return False

    def post(self, path: str, headers: Mapping[str, str], body: IO[bytes] | None = None) -> Iterator[dict[str, Any]]:
        """The messages of a build or a push, as they come.

        Raises:
            RefusedError: it does not even begin.
            ProviderError: it went away, or `cancel` was called.
        """
        with self._talking(), self._connection() as connection:
            # An engine that refuses early does not read the body to its end; its answer says why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", path, body=body, headers=dict(headers))
            for line in _lines(_accepted(connection)):
                if line.strip():
                    yield json.loads(line)

    @contextmanager
    def hijacked(
        self, path: str, protocol: str, headers: Mapping[str, str]
    ) -> Iterator[tuple[io.BufferedReader, socket.socket]]:
        """A connection that the engine hands over to another protocol: what to read from, and what to write to.

        Raises:
            RefusedError: it does not.
            ProviderError: it went away.
        """
        with self._talking(), self._connection() as connection:
            connection.request("POST", path, headers={**headers, "Connection": "Upgrade", "Upgrade": protocol})
            yield _accepted(connection).fp, connection.sock

    def cancel(self) -> None:
        """Break off everything under way; the engine ends a build whose client is gone."""
        for connection in list(self._connections):
            with suppress(OSError, AttributeError):  # AttributeError: it is just being closed
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
            raise ProviderError(f"the Docker engine at {self.host} broke off: {error}") from error


def find(host: str | None) -> Daemon:
    """The engine that answers at `host`, else at Docker's usual sockets.

    Raises:
        ProviderError: none answers, or `host` needs what the stand-in does not speak (TLS, ssh).
    """
    usual = ["unix:///var/run/docker.sock"]
    usual += [f"unix://{Path.home()}/.docker/{folder}/docker.sock" for folder in ("run", "desktop")]
    for candidate in [host] if host else usual:
        daemon = Daemon(candidate)
        if daemon.answers():
            return daemon
    raise ProviderError("failed to connect to any docker daemon")


def configured_host(variables: Mapping[str, str]) -> str | None:
    """The host from the provider's configuration, else from the environment.

    Raises:
        ProviderError: the configuration asks for a connection that the stand-in does not speak.
    """
    config = {name.removeprefix("docker:config:"): value for name, value in variables.items()}
    for name in ("caMaterial", "certMaterial", "keyMaterial", "certPath", "registryAuth"):
        if config.get(name):
            raise ProviderError(
                f"the offline stand-in for the Docker provider does not know docker:{name}; "
                "remove it from the configuration or install the real plugin"
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
        f"the offline stand-in for the Docker provider reaches an engine at unix:// or tcp:// only, not at {host!r}; "
        "set docker:host or DOCKER_HOST, or install the real plugin"
    )


def _accepted(connection: HTTPConnection) -> HTTPResponse:
    response = connection.getresponse()
    if response.status >= 400:  # noqa: PLR2004 - where HTTP's errors begin
        text = response.read().decode(errors="replace")
        with suppress(json.JSONDecodeError, KeyError, TypeError):
            text = json.loads(text)["message"]
        raise RefusedError(f"Error response from daemon: {text.strip()}")
    return response


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """The lines of an answer; unlike the answer's own iterator, it notices when the end is missing."""
    begun = b""
    while piece := response.read1():
        *lines, begun = (begun + piece).split(b"\n")
        yield from lines
    yield begun
