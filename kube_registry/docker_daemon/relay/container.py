"""Run the relay's container in the daemon's own network, for as long as this process is attached to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from kube_registry.concurrency import meanwhile
from kube_registry.docker_daemon.relay.carry import carry
from kube_registry.docker_daemon.relay.frames import Frame, read_frames
from kube_registry.docker_daemon.relay.image import relay_archive, relay_image
from kube_registry.docker_daemon.stream import attached
from kube_registry.limits import RELAY_SECONDS

END_SECONDS = 5.0

_LABELS = {"app.kubernetes.io/managed-by": "kube-registry"}


@asynccontextmanager
async def open_relay(
    client: docker.DockerClient, host: str, environment: Mapping[str, str], port: int, lost: Callable[[OSError], None]
) -> AsyncIterator[None]:
    """Forward a port of the daemon's loopback to the same port of this machine's while the block runs.

    The connections use the container's standard streams, so that the daemon does not have to connect to this machine.
    The container exits when this process exits or is killed.

    Args:
        client: the daemon; its own timeout limits every request.
        host: the same daemon, as unix://PATH or tcp://HOST:PORT.
        environment: the process's environment.
        port: the push port.
        lost: is called when the relay ends before the block does.

    Raises:
        DockerException, RequestException: the daemon failed to load the image or to run the container.
        OSError: the relay cannot listen, or does not support the daemon's architecture.
    """
    container = await asyncio.to_thread(_create, client, port)
    try:
        async with attached(environment, host, str(container.id)) as (reader, writer):
            frames = read_frames(reader)
            await asyncio.to_thread(container.start)
            await _wait_until_it_listens(frames)
            async with meanwhile(_carry_until_lost(frames, writer, port, lost)):
                yield
    finally:
        await asyncio.shield(asyncio.to_thread(_end, container))


async def _wait_until_it_listens(frames: AsyncIterator[Frame]) -> None:
    try:
        async with asyncio.timeout(RELAY_SECONDS):
            await anext(frames)  # LISTENING: the program and this code are from the same commit
    except TimeoutError:
        raise OSError(f"the relay does not listen after {RELAY_SECONDS:.0f} s") from None
    except StopAsyncIteration:
        raise OSError("the relay exited without a message") from None


async def _carry_until_lost(
    frames: AsyncIterator[Frame], relay: asyncio.StreamWriter, port: int, lost: Callable[[OSError], None]
) -> None:
    error = OSError("the relay's container has ended")
    try:
        await carry(frames, relay, port)
    except* (OSError, asyncio.IncompleteReadError) as group:
        error = OSError("; ".join(str(each) for each in group.exceptions))
    lost(error)


def _create(client: docker.DockerClient, port: int) -> Container:
    image = _provide_image(client)
    name = f"kube-registry-relay-{port}"
    with suppress(NotFound):
        _remove(client.containers.get(name))
    return client.containers.create(
        image,
        [str(port)],
        name=name,
        labels=_LABELS,
        network_mode="host",
        stdin_open=True,
        auto_remove=True,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        user="65534:65534",
        log_config=LogConfig(type="none"),  # its output is the pushed data
    )


def _provide_image(client: docker.DockerClient) -> str:
    """Load the image unless the daemon has it, and return its name."""
    architecture = str(client.version()["Arch"])
    name = relay_image(architecture)
    try:
        client.images.get(name)
    except ImageNotFound:
        client.images.load(relay_archive(architecture))
    return name


def _end(container: Container) -> None:
    """Wait until the container, which exits at the end of its standard input, is gone; then remove it if it is not."""
    with suppress(DockerException, requests.RequestException):
        container.wait(condition="removed", timeout=END_SECONDS)
    with suppress(DockerException, requests.RequestException):
        _remove(container)


def _remove(container: Container) -> None:
    """Remove the container, running or not; the daemon answers 409 if a removal is already in progress."""
    with suppress(NotFound):
        try:
            container.remove(force=True)
        except docker.errors.APIError as error:
            if error.status_code != requests.codes.conflict:
                raise
            container.wait(condition="removed", timeout=END_SECONDS)
