"""Whether the Docker daemon reaches the push address: the lab's engine, which does, and one with another loopback."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from rich.console import Console

from cluster.push import PushPath
from cluster.reach import daemon_reaching
from lab import far_engine
from lab.progress import Progress
from stack.endpoints import parse_reference
from stack.errors import DaemonReachError
from tests.e2e.conftest import Lab, Program, new_program, settings_of

pytestmark = [pytest.mark.lab, pytest.mark.anyio]

DIGEST = f"sha256:{'0' * 64}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def refusal(environment: dict[str, str], port: int) -> str:
    async def reach() -> None:
        async with daemon_reaching(environment, f"localhost:{port}", DIGEST, lambda _: None):
            pass

    with pytest.raises(DaemonReachError) as raised:
        asyncio.run(reach())
    return str(raised.value)


class TestReach:
    def test_a_daemon_that_finds_nobody_at_the_push_address_says_so(self, lab: Lab) -> None:
        port = free_port()
        text = refusal({"DOCKER_HOST": lab.env["DOCKER_HOST"]}, port)
        assert f"does not reach localhost:{port} of this machine: " in text
        before, _, after = text.partition("; by way of a relay: ")
        assert "connection refused" in before
        assert after

    async def test_an_image_is_not_pushed_by_a_daemon_that_does_not_reach_it(self, lab: Lab, program: Program) -> None:
        program.up()
        settings = settings_of(lab)
        path = PushPath(settings, {"DOCKER_HOST": "tcp://127.0.0.1:1"})
        with pytest.raises(DaemonReachError):
            await path.take("image", lambda _: None)
        with socket.create_server(("127.0.0.1", settings.push_port)):
            pass

    @pytest.mark.parametrize("at", ["127.0.0.1:1", "me@127.0.0.1:1"])
    def test_for_one_that_is_elsewhere_there_is_a_line_that_carries_it_there(self, at: str) -> None:
        text = refusal({"DOCKER_HOST": f"tcp://{at}"}, 21000)
        assert f"`ssh -N -R 21000:localhost:21000 {at.removesuffix(':1')}` carries it there" in text


@pytest.fixture(scope="module")
def far(lab: Lab, checkout: Path, program: Program) -> Iterator[Program]:
    """The same stack, built and pushed by an engine that is in a network of its own."""
    progress = Progress(Console(quiet=True))
    engine = far_engine.up(progress)
    assert program.state()["resources"]
    yield new_program(Lab(lab.cluster, {**lab.env, "DOCKER_HOST": engine.host}), checkout, checkout)
    far_engine.down(progress)


def edit(program: Program, text: str) -> None:
    (program.folder / "app" / "site" / "far.txt").write_text(text)


class TestRelay:
    """Simulated: what a virtual machine has of its own, this engine has in a namespace."""

    def test_a_daemon_with_a_loopback_of_its_own_pushes_through_a_relay(self, lab: Lab, far: Program) -> None:
        edit(far, "pushed from afar")
        lines: list[str] = []
        far.stack.up(on_output=lines.append)
        assert any("the Docker daemon has a loopback of its own; a relay there carries" in line for line in lines)
        image = parse_reference(far.output("image"))
        assert image.digest
        assert '"layers"' in lab.fetch(f"http://127.0.0.1:30100/v2/app/manifests/{image.digest}")

    def test_the_relay_is_gone_when_the_tunnel_is(self, lab: Lab, far: Program) -> None:
        with closing(docker.DockerClient(far.stack.workspace.env_vars["DOCKER_HOST"])) as client:
            assert client.containers.list(all=True) == []
        with socket.create_server(("127.0.0.1", settings_of(lab).push_port)):
            pass

    def test_without_a_way_back_nothing_is_built_and_both_ways_are_told(self, far: Program) -> None:
        edit(far, "not pushed")
        far_engine.close_gateway()
        text = far.failing_up()
        assert "connection refused; by way of a relay: " in text
        assert "Traceback" not in text
        assert not far.state().get("pending_operations")
