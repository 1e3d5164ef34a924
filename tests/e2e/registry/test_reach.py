"""Whether the Docker daemon reaches the push address: the lab's engine, which does, and one with another loopback."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from rich.console import Console

from kube_registry.docker_daemon.errors import DaemonError, DaemonReachError
from kube_registry.docker_daemon.reach import daemon_reaching
from kube_registry.push.push_path import PushPath
from kube_registry.spec.endpoints import parse_reference
from lab import far_engine, images
from lab.docker_site import Engine
from lab.progress import Progress
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, new_program, settings_of
from tests.fakes.docker_api import over_tcp

pytestmark = [pytest.mark.lab, pytest.mark.anyio]

DIGEST = f"sha256:{'0' * 64}"


async def reach(environment: dict[str, str], port: int) -> None:
    async def recovered() -> bool:
        return False

    place = f"localhost:{port}"
    async with daemon_reaching(environment, place, DIGEST, lambda *_: None, lambda *_: None, recovered=recovered):
        pass


class TestReach:
    async def test_a_daemon_that_finds_no_registry_at_the_push_address_says_so(self, lab: Lab) -> None:
        """It shares this machine's loopback, so that no relay can listen where the tunnel does."""
        with socket.create_server(("127.0.0.1", 0)) as tunnel:
            port = tunnel.getsockname()[1]
            closing_all = asyncio.create_task(close_all(tunnel))
            with pytest.raises(DaemonReachError) as raised:
                await reach({"DOCKER_HOST": lab.env["DOCKER_HOST"]}, port)
            closing_all.cancel()
        assert raised.value.push_address == f"localhost:{port}"
        assert "cannot listen" in raised.value.reason

    async def test_an_image_is_not_pushed_by_a_daemon_that_is_not_there(self, lab: Lab, program: Program) -> None:
        program.up()
        settings = settings_of(lab)
        path = PushPath(settings, {"DOCKER_HOST": "tcp://127.0.0.1:1"})
        with pytest.raises(DaemonError) as raised:
            await path.take("image", lambda *_: None)
        assert raised.value.host == "tcp://127.0.0.1:1"
        with socket.create_server(("127.0.0.1", settings.push_port)):
            pass


async def close_all(server: socket.socket) -> None:
    """Accept connections and end them."""
    server.settimeout(0)
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(server)
        connection.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine in a network of its own, from which no way leads to this machine."""
    progress = Progress(Console(quiet=True))
    yield far_engine.up(progress)
    far_engine.down(progress)


@pytest.fixture(scope="module")
def far(lab: Lab, checkout: Path, program: Program, engine: Engine) -> Program:
    """The same stack, built and pushed by that engine."""
    assert program.state()["resources"]
    return new_program(replace(lab, env={**lab.env, "DOCKER_HOST": engine.host}), checkout, checkout)


def edit(program: Program, text: str) -> None:
    (program.folder / "app" / "site" / "far.txt").write_text(text)


async def pushed_lines(program: Program) -> list[str]:
    """What an update says that pushes an image."""
    lines: list[str] = []
    await asyncio.to_thread(program.up, lines.append)
    return lines


def in_registry(lab: Lab, program: Program) -> bool:
    image = parse_reference(program.output("image"))
    assert image.digest
    return '"layers"' in lab.fetch(f"http://127.0.0.1:30100/v2/app/manifests/{image.digest}")


class TestRelay:
    """Simulated: what an engine in a container or a virtual machine has of its own, this one has in a namespace."""

    async def test_a_daemon_with_nothing_but_its_socket_pushes_through_a_relay(self, lab: Lab, far: Program) -> None:
        edit(far, "pushed from afar")
        lines = await pushed_lines(far)
        assert any("the Docker daemon has its own loopback; a relay there forwards" in line for line in lines)
        assert in_registry(lab, far)

    def test_the_relay_is_gone_when_the_tunnel_is(self, lab: Lab, engine: Engine) -> None:
        with closing(docker.DockerClient(engine.host)) as client:
            assert client.containers.list(all=True) == []
        with socket.create_server(("127.0.0.1", settings_of(lab).push_port)):
            pass

    async def test_so_does_one_at_a_tcp_address(self, lab: Lab, far: Program, engine: Engine) -> None:
        edit(far, "pushed from a service beside a job")
        async with over_tcp(engine) as host:
            variables = far.stack.workspace.env_vars
            far.stack.workspace.env_vars = {**variables, "DOCKER_HOST": host}
            assert any("a relay there forwards" in line for line in await pushed_lines(far))
            far.stack.workspace.env_vars = variables
        assert in_registry(lab, far)
        with closing(docker.DockerClient(engine.host)) as client:
            (image,) = client.images.list(f"{settings_of(lab).endpoints.push_address}/app")
        assert image.tags == [
            f"{settings_of(lab).endpoints.push_address}/app:{parse_reference(far.output('image')).tag}"
        ]

    async def test_a_push_of_many_layers_that_are_large_is_whole(self, lab: Lab, far: Program) -> None:
        dockerfile = far.folder / "app" / "Dockerfile"
        text = dockerfile.read_text()
        layers = "".join(f"RUN head -c 40000000 /dev/urandom >/layer{number}\n" for number in range(5))
        dockerfile.write_text(text.replace("EXPOSE", f"{layers}EXPOSE", 1))
        await pushed_lines(far)  # it is read back, layer by layer
        dockerfile.write_text(text)
        assert in_registry(lab, far)

    def test_where_the_port_is_taken_nothing_is_built_and_another_one_is_proposed(
        self, lab: Lab, far: Program, engine: Engine
    ) -> None:
        edit(far, "not pushed")
        port = settings_of(lab).push_port
        with closing(docker.DockerClient(engine.host)) as client:
            command = ["httpd", "-f", "-p", f"127.0.0.1:{port}"]
            taken = client.containers.run(images.BUSYBOX, command, network_mode="host", detach=True)
            text = far.failing_up()
            assert "cannot listen" in text
            assert "Traceback" not in text
            assert not far.state().get("pending_operations")
            far.paste(commands_of(text, f"pushPort {port + 1}"))
            assert far.up()["update"] == 1
            taken.remove(force=True)
        assert in_registry(lab, far)
