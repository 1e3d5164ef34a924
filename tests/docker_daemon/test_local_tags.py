"""A superseded tag goes from the Docker daemon as by `docker rmi`, on the lab's engine, and a daemon that fails."""

import asyncio
import io
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import docker
import pytest
from docker.models.images import Image
from rich.console import Console

from kube_registry.docker_daemon.errors import LocalTagError
from kube_registry.docker_daemon.local_tags import remove_local_tag
from lab import docker_engine
from lab.images import BUSYBOX
from lab.progress import Progress

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

REFUSAL = b"HTTP/1.0 500 Internal Server Error\r\nContent-Type: application/json\r\n\r\n"


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    """The lab's engine."""
    engine = docker_engine.up(Progress(Console(quiet=True)))
    with closing(docker.DockerClient(base_url=engine.host)) as opened:
        yield opened


def built(client: docker.DockerClient, *names: str) -> Image:
    """An image of its own content, with these names."""
    dockerfile = f"FROM {BUSYBOX}\nENV RUN={uuid4().hex}\n"
    image, _ = client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=names[0], rm=True)
    for name in names[1:]:
        image.tag(name)
    return image


def new_name() -> str:
    return f"localhost:1/tags-{uuid4().hex}:0123456789abcdef"


def remove(client: docker.DockerClient, name: str) -> None:
    asyncio.run(remove_local_tag(client, "unix:///any", name))


def has(client: docker.DockerClient, name: str) -> bool:
    return name in [tag for image in client.images.list() for tag in image.tags]


def test_the_last_tag_takes_its_image_along_but_not_the_base(client: docker.DockerClient) -> None:
    image = built(client, name := new_name())
    remove(client, name)
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(str(image.id))
    client.images.get(BUSYBOX)


def test_a_tag_that_the_daemon_does_not_have_is_no_error(client: docker.DockerClient) -> None:
    remove(client, new_name())


def test_an_image_with_another_tag_loses_only_this_one(client: docker.DockerClient) -> None:
    image = built(client, name := new_name(), other := new_name())
    remove(client, name)
    assert not has(client, name)
    assert client.images.get(other).id == image.id
    remove(client, other)


def test_the_image_of_a_stopped_container_keeps_its_only_tag(client: docker.DockerClient) -> None:
    built(client, name := new_name())
    container = client.containers.create(name, ["true"])
    try:
        remove(client, name)
        assert has(client, name)
    finally:
        container.remove()
    remove(client, name)
    assert not has(client, name)


def test_an_image_that_another_is_built_from_loses_its_tag_and_that_one_still_runs(client: docker.DockerClient) -> None:
    """The classic store also keeps the first image, as a parent; the containerd store only its layers."""
    built(client, name := new_name())
    child, other = f"FROM {name}\nENV CHILD=1\n", new_name()
    client.images.build(fileobj=io.BytesIO(child.encode()), tag=other, rm=True)
    remove(client, name)
    assert not has(client, name)
    client.containers.create(other, ["true"]).remove()
    remove(client, other)


@pytest.mark.parametrize("answer", [REFUSAL + b'{"message": "the disk is read-only"}', b""])
def test_a_daemon_that_fails_is_named_with_the_tag_and_the_command(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)

    async def removal() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with closing(docker.DockerClient(base_url=host, version="1.41", timeout=5)) as client:
                await remove_local_tag(client, host, "localhost:1/app:a")

    with pytest.raises(LocalTagError) as raised:
        asyncio.run(removal())
    assert raised.value.name == "localhost:1/app:a"
    assert raised.value.host.startswith("tcp://127.0.0.1:")
    assert ("the disk is read-only" in raised.value.reason) is bool(answer)
