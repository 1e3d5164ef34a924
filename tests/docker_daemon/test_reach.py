"""What a Docker daemon's failed question means: whether it has not come here, or the cluster did not answer it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice, repeat

import pytest
from aiohttp import web
from rich.console import Console

from kube_registry.docker_daemon.reach import daemon_reaching
from kube_registry.registry.api import MANIFEST
from kube_registry.tunnel.connect import DIAL_TRIES
from kube_registry.tunnel.listener import Tunnel
from lab import docker_engine
from lab.docker_site import Engine
from lab.progress import Progress
from lab.versions import OLDEST, chosen
from tests.fakes.fake_api import FakeApi, Refusal
from tests.fakes.local import PATIENCE_SECONDS

pytestmark = [pytest.mark.lab, pytest.mark.anyio, pytest.mark.timeout(120), pytest.mark.usefixtures("no_pauses")]

DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The lab's engine, which has this machine's loopback."""
    return docker_engine.up(Progress(Console(quiet=True)))


@asynccontextmanager
async def registry() -> AsyncIterator[int]:
    """A registry that has everything; its port."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(headers={"Docker-Content-Digest": DIGEST, "Content-Type": MANIFEST}, body=b"{}")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_daemon_whose_connection_broke_behind_the_tunnel_gets_no_relay(
    api: FakeApi, tunnel: Tunnel, engine: Engine
) -> None:
    said = list[str]()
    async with registry() as port:
        api.pods = [replace(api.pods[0], target=port)]
        await tunnel.prove(PATIENCE_SECONDS)
        api.refusals = islice(repeat(Refusal(503, "the node is busy")), DIAL_TRIES)
        async with daemon_reaching(
            {"DOCKER_HOST": engine.host},
            tunnel.address,
            DIGEST,
            said.append,
            tunnel.break_off,
            recovered=tunnel.recovered,
        ) as daemon:
            assert daemon.reports_digests == (chosen() == OLDEST), "only the classic store does"
    assert said == []
    assert next(api.refusals, None) is None
