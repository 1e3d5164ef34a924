"""What every tunnel keeps to, whether its far end is the fake API server or a real cluster."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kube_registry.kube.client import open_client
from kube_registry.names import WRITE_PORT, labels
from kube_registry.spec.settings import Settings
from kube_registry.tunnel import connect as dialling
from kube_registry.tunnel.errors import TunnelProtocolError
from kube_registry.tunnel.listener import Tunnel, open_tunnel
from lab import images, pki
from tests.conftest import Lab
from tests.fakes.fake_api import FakeApi, FakePod, settings_for
from tests.fakes.local import PATIENCE_SECONDS, asked, connected, head, held, send, settled, until
from tests.fakes.target import SCRIPT, Target, answer, given

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

MANY = 32 * 1024 * 1024


NAMESPACE = "tunnel-contract"

TARGET = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "target", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": labels("registry")},
                "template": {
                    "metadata": {"labels": labels("registry")},
                    "spec": {
                        "terminationGracePeriodSeconds": 0,
                        "containers": [
                            {
                                "name": "target",
                                "image": images.BUSYBOX,
                                "command": ["nc", "-ll", "-p", str(WRITE_PORT), "-e", "sh", "-c", SCRIPT],
                            }
                        ],
                    },
                },
            },
        },
    ],
}
"""The far end on a real cluster: what passes for a registry's pod."""


@dataclass(frozen=True)
class Site:
    """Where a tunnel leads to.

    Attributes:
        settings: of the stack there.
        replace_pod: kills the pod, in whose place another one comes.
        crowd: how many connections the pod can take at the very same moment.
    """

    settings: Settings
    replace_pod: Callable[[], Awaitable[object]]
    crowd: int = 64


def fake_site(api: FakeApi, target: Target, authority: pki.Authority, folder: Path) -> Site:
    async def replace_pod() -> None:
        api.pods = [FakePod("registry-2", target.port)]
        await target.kill()

    return Site(settings_for(api.server, authority, folder), replace_pod)


@pytest.fixture
def fake(api: FakeApi, target: Target, authority: pki.Authority, tmp_path: Path) -> Site:
    return fake_site(api, target, authority, tmp_path)


@pytest.fixture
def fake_over_tls(tls_api: FakeApi, target: Target, authority: pki.Authority, tmp_path: Path) -> Site:
    return fake_site(tls_api, target, authority, tmp_path)


@pytest.fixture(scope="module")
def lab_site(lab: Lab) -> Iterator[Site]:
    names = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(lab.cluster.kubeconfig), "namespace": NAMESPACE}
    settings = Settings.parse({**names, "images": {"app": {}}}, project="kube-registry", stack="contract")
    lab.kubectl("apply", "--filename", "-", given=json.dumps(TARGET))

    async def replace_pod() -> None:
        await asyncio.to_thread(lab.kubectl, "delete", "pod", "--all", "--namespace", NAMESPACE, "--wait=false")

    yield Site(settings, replace_pod, crowd=4)  # nc's own queue is short
    lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(params=["fake", "fake_over_tls", pytest.param("lab_site", marks=pytest.mark.lab)])
def site(request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue(request.param)
    return site


@pytest.fixture
async def tunnel(site: Site) -> AsyncIterator[Tunnel]:
    async with open_client(site.settings) as kube, open_tunnel(kube, 0, held(kube), seconds=PATIENCE_SECONDS) as tunnel:
        yield tunnel


def data_of(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - bytes that differ, not secrets


async def test_what_is_sent_comes_back(tunnel: Tunnel) -> None:
    async with connected(tunnel, "echo") as (reader, writer):
        for message in (b"one\n", b"two\n"):
            writer.write(message)
            assert await reader.readline() == message
    assert tunnel.traffic.sent >= len(head(tunnel, "echo") + b"one\ntwo\n")


async def test_much_goes_both_ways_at_once_byte_for_byte(tunnel: Tunnel) -> None:
    data = data_of(MANY)
    async with connected(tunnel, "echo") as (reader, writer), asyncio.TaskGroup() as both:
        both.create_task(send(writer, data))
        assert await reader.readexactly(len(data)) == data


async def test_a_pod_that_does_not_read_stops_the_sender_and_loses_nothing(tunnel: Tunnel) -> None:
    piece = data_of(64 * 1024 + 1)  # no multiple of any buffer on the way
    sent = 0

    async def send_on(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while not clogged.is_set():
            writer.write(piece)
            sent += len(piece)
            await writer.drain()

    clogged = asyncio.Event()
    async with connected(tunnel, "hold clogged") as (reader, writer), asyncio.TaskGroup() as both:
        sending = both.create_task(send_on(writer))
        await settled(lambda: (sent, tunnel.traffic.sent))
        clogged.set()
        assert not sending.done()
        assert await asked(tunnel, f"free clogged {sent}") == b"ok\n"
        assert await reader.readline() == answer(piece * (sent // len(piece)))


async def test_a_program_that_does_not_read_stops_the_pod_and_loses_nothing(tunnel: Tunnel) -> None:
    async with connected(tunnel, f"give {2**40}") as (reader, _):
        before = tunnel.traffic.received
        await until(lambda: tunnel.traffic.received > before)
        clogged = await settled(lambda: tunnel.traffic.received)
        assert await reader.readexactly(clogged + MANY) == given(clogged + MANY)


async def test_the_answer_is_delivered_after_the_program_has_ended_its_side(tunnel: Tunnel) -> None:
    data = data_of(100_000)
    async with connected(tunnel, "hold ended") as (reader, writer):
        await send(writer, data)
        writer.write_eof()
        assert await asked(tunnel, f"free ended {len(data)}") == b"ok\n"
        assert await reader.read() == answer(data)


async def test_64_connections_at_once_do_not_mix(site: Site, tunnel: Tunnel) -> None:
    door = asyncio.Semaphore(site.crowd)
    everybody_is_there = asyncio.Barrier(64)

    async def echo(number: int) -> None:
        data = data_of(200_000, seed=number)
        async with AsyncExitStack() as opened:
            async with door:
                reader, writer = await opened.enter_async_context(connected(tunnel, "echo"))
                writer.write(b"here\n")
                assert await reader.readline() == b"here\n"
            await everybody_is_there.wait()
            both = await opened.enter_async_context(asyncio.TaskGroup())
            both.create_task(send(writer, data))
            assert await reader.readexactly(len(data)) == data

    async with asyncio.TaskGroup() as all_of_them:
        for number in range(64):
            all_of_them.create_task(echo(number))


async def test_a_killed_pod_ends_its_connections_and_another_serves_the_next(site: Site, tunnel: Tunnel) -> None:
    async with connected(tunnel, "echo") as (reader, writer):
        writer.write(b"before\n")
        assert await reader.readline() == b"before\n"
        await site.replace_pod()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
    async with asyncio.timeout(PATIENCE_SECONDS), connected(tunnel, "echo") as (reader, writer):
        writer.write(b"after\n")
        assert await reader.readline() == b"after\n"
    assert tunnel.reconnects >= 1


async def test_another_protocol_is_refused_by_the_node_without_a_word(
    site: Site, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fact by which a node's refusal is told from a missing right."""
    monkeypatch.setattr(dialling, "PROTOCOL", "v5.channel.k8s.io")
    async with connected(tunnel, "echo") as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert isinstance(tunnel.trouble, TunnelProtocolError)
    assert tunnel.trouble.where.namespace == site.settings.namespace
    assert "the node refused v5.channel.k8s.io" in str(tunnel.trouble)


async def test_closing_twice_is_as_good_as_once(site: Site) -> None:
    async with (
        open_client(site.settings) as kube,
        open_tunnel(kube, 0, held(kube), seconds=PATIENCE_SECONDS) as tunnel,
        connected(tunnel, "echo") as (reader, writer),
    ):
        writer.write(b"before\n")
        await reader.readline()
        await tunnel.end_connections()
        await tunnel.end_connections()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", tunnel.port)


async def test_a_cancelled_holder_leaves_neither_listener_nor_task_nor_connection(site: Site) -> None:
    tasks = asyncio.all_tasks()
    opened: asyncio.Future[Tunnel] = asyncio.get_running_loop().create_future()

    async def hold() -> None:
        async with (
            open_client(site.settings) as kube,
            open_tunnel(kube, 0, held(kube), seconds=PATIENCE_SECONDS) as tunnel,
        ):
            opened.set_result(tunnel)
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    tunnel = await opened
    async with connected(tunnel, f"give {MANY}") as (reader, _):
        await reader.readexactly(1_000_000)
        holder.cancel()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(MANY)
    assert holder.cancelled() or await asyncio.gather(holder, return_exceptions=True)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", tunnel.port)
    await until(lambda: not {task for task in asyncio.all_tasks() - tasks if "kube_registry" in repr(task)})
