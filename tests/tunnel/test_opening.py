"""When a tunnel is open, and why it is not."""

import asyncio
import socket
import subprocess
import sys
from itertools import repeat
from pathlib import Path

import aiohttp
import pytest

from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.errors import CertificateError, CredentialsError
from kube_registry.tunnel.errors import PushPortBusyError, TunnelError, TunnelForbiddenError, TunnelTimeoutError
from kube_registry.tunnel.listener import open_tunnel
from lab import pki
from tests.fakes import fake_node
from tests.fakes.fake_api import FakeApi, Refusal, settings_for
from tests.fakes.fake_node import DATA, ERROR, sends
from tests.fakes.local import PATIENCE_SECONDS, connected, held, until
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30), pytest.mark.usefixtures("no_pauses")]


class TestOpening:
    async def test_it_listens_on_loopback_and_nowhere_else(self, kube: KubeClient) -> None:
        """Docker looks up the push address's "localhost", and most machines say [::1] first."""
        port = free_port()
        async with open_tunnel(kube, port, held(kube), seconds=PATIENCE_SECONDS) as tunnel:
            assert (tunnel.port, tunnel.address) == (port, f"127.0.0.1:{port}")
            with socket.socket() as other:
                other.bind(("127.0.0.2", port))
            for place in ("127.0.0.1", "[::1]", "localhost"):
                async with aiohttp.ClientSession() as http, http.get(f"http://{place}:{port}/v2/") as answer:
                    assert answer.status == 200

    @pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104 - what others listen on
    async def test_a_busy_port_is_named_at_once(self, kube: KubeClient, api: FakeApi, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        port = free_port()
        with socket.create_server((address, port), family=family), pytest.raises(PushPortBusyError) as raised:
            async with open_tunnel(kube, port, held(kube), seconds=PATIENCE_SECONDS):
                pass
        error = raised.value
        assert (error.where, error.push_port) == (kube.where, port)
        assert f"cannot listen on port {port} of this machine: Address already in use" in str(error)
        assert ("[::1]" in error.reason) == (family == socket.AF_INET6)
        assert (api.looks, api.upgrades) == (0, [])
        with socket.create_server(("127.0.0.1", port)):  # nothing of it is held any more
            pass

    @pytest.mark.parametrize("without", ["disable_ipv6", "no address"])
    def test_a_machine_without_ipv6_has_the_other_loopback(self, without: str) -> None:
        lines = {"disable_ipv6": "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6", "no address": "ip -6 addr flush lo"}
        own = f'ip link set lo up && {lines[without]} && exec "$0" "$@"'
        test = f"{__file__}::TestOpening::test_a_port_is_free_again_at_once"
        run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
        done = subprocess.run(["unshare", "--net", "sh", "-c", own, *run], capture_output=True, text=True, check=False)
        assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout

    async def test_a_port_is_free_again_at_once(self, kube: KubeClient) -> None:
        port = free_port()
        for _ in range(2):
            async with (
                open_tunnel(kube, port, held(kube), seconds=PATIENCE_SECONDS) as tunnel,
                connected(tunnel, "echo") as (_, writer),
            ):
                writer.write(b"open\n")

    async def test_it_is_open_only_when_the_registry_has_answered(self, api: FakeApi, kube: KubeClient) -> None:
        api.node = sends(DATA + b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        opening = asyncio.create_task(self.opened(kube, PATIENCE_SECONDS))
        await until(lambda: len(api.upgrades) > 3)
        assert not opening.done()
        api.node = fake_node.well
        assert await opening

    @pytest.mark.parametrize(
        "said", [b"SSH-2.0-x\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200"]
    )
    async def test_a_far_end_that_is_no_registry_fails_in_a_sentence(
        self, api: FakeApi, kube: KubeClient, said: bytes
    ) -> None:
        api.node = sends(DATA + said)
        error = await self.failure(kube, 0.2)
        assert isinstance(error, TunnelTimeoutError)
        assert "the registry did not answer GET /v2/ with 200" in str(error)

    async def test_a_node_that_says_nothing_is_waited_for_no_longer_than_that(
        self, api: FakeApi, kube: KubeClient
    ) -> None:
        api.node = fake_node.silent
        started = asyncio.get_running_loop().time()
        assert isinstance(await self.failure(kube, 0.2), TunnelTimeoutError)
        assert asyncio.get_running_loop().time() - started < 10

    async def test_the_last_real_cause_is_told(self, api: FakeApi, kube: KubeClient) -> None:
        api.node = sends(ERROR + b"error forwarding port 5000 to pod registry-1")
        error = await self.failure(kube, 0.5)
        assert type(error) is TunnelError
        assert "pod registry-1: error forwarding port 5000" in str(error)

    async def test_no_pod_is_said_too(self, api: FakeApi, kube: KubeClient) -> None:
        api.pods = []
        error = await self.failure(kube, 0.5)
        assert isinstance(error, TunnelError)
        assert "it has no pod yet" in str(error)

    @pytest.mark.parametrize(
        ("refusal", "kind"),
        [
            (
                Refusal(403, 'User "eve" cannot list resource "pods" in API group "" in the namespace "kube-registry"'),
                TunnelForbiddenError,
            ),
            (Refusal(401, "Unauthorized"), CredentialsError),
        ],
    )
    async def test_what_no_waiting_mends_ends_it_at_once(
        self, api: FakeApi, kube: KubeClient, refusal: Refusal, kind: type[KubeRegistryError]
    ) -> None:
        api.list_refusals = repeat(refusal)
        assert type(await self.failure(kube, PATIENCE_SECONDS)) is kind
        assert api.looks == 2  # aiohttp itself sends a GET that was reset once more

    async def test_a_certificate_that_is_not_trusted_ends_it_at_once(self, tls_api: FakeApi, tmp_path: Path) -> None:
        stranger = pki.found(tmp_path / "stranger")
        async with open_client(settings_for(tls_api.server, stranger, tmp_path)) as kube, asyncio.timeout(5):
            assert isinstance(await self.failure(kube, PATIENCE_SECONDS), CertificateError)

    async def opened(self, kube: KubeClient, seconds: float) -> bool:
        async with open_tunnel(kube, 0, held(kube), seconds=seconds):
            return True

    async def failure(self, kube: KubeClient, seconds: float) -> KubeRegistryError:
        with pytest.raises(KubeRegistryError) as raised:
            await self.opened(kube, seconds)
        return raised.value
