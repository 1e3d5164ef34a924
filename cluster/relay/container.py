"""The relay's container: in the daemon's own network, there for as long as somebody here holds its standard input."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from cluster.relay.image import relay_archive, relay_image

FAR_HOST = "host.docker.internal"
"""What a Docker daemon in a machine of its own calls the host that it was started from."""

START_SECONDS = 10.0
END_SECONDS = 5.0

_LABELS = {"app.kubernetes.io/managed-by": "kube-registry"}
_FRAME_HEADER = 8
"""Bytes before what an attached container says (Docker Engine API, ContainerAttach)."""


@asynccontextmanager
async def open_relay(client: docker.DockerClient, port: int) -> AsyncIterator[None]:
    """Carry a port of the daemon's 127.0.0.1 to the same port of this host while the block runs.

    The container ends by itself when this process does, killed or not.

    Args:
        client: the daemon; its own timeout bounds every question to it.
        port: the push port.

    Raises:
        DockerException, RequestException: the daemon does not take the image, or does not run the container.
        OSError: the relay cannot listen, or there is none for the daemon's architecture.
    """
    container, attached = await asyncio.to_thread(_start, client, port)
    try:
        yield
    finally:
        await asyncio.shield(asyncio.to_thread(_end, container, attached))


def _start(client: docker.DockerClient, port: int) -> tuple[Container, socket.socket]:
    image = _provide_image(client)
    name = f"kube-registry-relay-{port}"
    with suppress(NotFound):
        _remove(client.containers.get(name))
    container = client.containers.create(
        image,
        [str(port), FAR_HOST],
        name=name,
        labels=_LABELS,
        network_mode="host",
        stdin_open=True,
        auto_remove=True,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        user="65534:65534",
    )
    attached: socket.socket | None = None
    try:
        file = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        attached = cast("socket.socket", getattr(file, "_sock", file))  # a file that is closed leaves its socket open
        container.start()
        _wait_until_it_listens(attached)
    except BaseException:
        _end(container, attached)
        raise
    return container, attached


def _provide_image(client: docker.DockerClient) -> str:
    """The image's name, once the daemon has it."""
    architecture = str(client.version()["Arch"])
    name = relay_image(architecture)
    try:
        client.images.get(name)
    except ImageNotFound:
        client.images.load(relay_archive(architecture))
    return name


def _wait_until_it_listens(attached: socket.socket) -> None:
    """Raise OSError with what the relay said in place of "listening", or where it said nothing in time."""
    attached.settimeout(START_SECONDS)
    said = b""
    while b"\n" not in said[_FRAME_HEADER:] and (more := attached.recv(4096)):
        said += more
    line = said[_FRAME_HEADER:].decode(errors="replace").strip()
    if line != "listening":
        raise OSError(line or "it ended without a word")


def _end(container: Container, attached: socket.socket | None) -> None:
    """Let go of its standard input, and see it gone; what does not go is removed."""
    if attached is not None:
        with suppress(OSError):
            attached.shutdown(socket.SHUT_RDWR)
        attached.close()
    with suppress(DockerException, requests.RequestException):
        container.wait(condition="removed", timeout=END_SECONDS)
    with suppress(DockerException, requests.RequestException):
        _remove(container)


def _remove(container: Container) -> None:
    """Remove it, running or not; a daemon that is removing it already says so with status 409."""
    with suppress(NotFound):
        try:
            container.remove(force=True)
        except docker.errors.APIError as error:
            if error.status_code != requests.codes.conflict:
                raise
            container.wait(condition="removed", timeout=END_SECONDS)
