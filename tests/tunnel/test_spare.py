"""Which connections to the API server a tunnel's WebSockets take."""

import aiohttp
import pytest

from kube_registry.tunnel.listener import Tunnel
from tests.fakes.fake_api import FakeApi, Refusal
from tests.fakes.local import until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]


async def status(tunnel: Tunnel) -> int:
    """The registry's answer on a new connection, as each request of Docker has one."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{tunnel.address}/v2/") as answer:
        return answer.status


class TestSpare:
    async def test_a_websocket_waits_for_no_handshake(self, api: FakeApi, tunnel: Tunnel) -> None:
        assert await status(tunnel) == 200
        for upgrade in range(2, 5):
            await until(lambda: api.list_ports[-1] not in api.upgrade_ports)  # nothing of the last one is under way
            open_before = set(api.list_ports)
            assert await status(tunnel) == 200
            assert api.upgrade_ports[upgrade] in open_before

    async def test_a_refused_spare_breaks_nothing(self, api: FakeApi, tunnel: Tunnel) -> None:
        assert await status(tunnel) == 200
        await until(lambda: api.list_ports[-1] not in api.upgrade_ports)
        api.list_refusals = (refusal for refusal in [None, Refusal(500)])  # type: ignore[misc]
        for _ in range(2):
            assert await status(tunnel) == 200
