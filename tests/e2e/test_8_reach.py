"""Whether the Docker daemon reaches the push address, asked of the lab's engine."""

import asyncio
import socket

import pytest

from cluster.push import PushPath
from cluster.reach import daemon_reaching
from stack.errors import DaemonReachError
from tests.e2e.conftest import Lab, Program, settings_of

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
