"""A program in the registry's pod that hangs, or whose connection never ends, is left alone after a while."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import repeat

import pytest
from aiohttp import web

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import UpgradeError
from kube_registry.registry.errors import ExecError
from kube_registry.registry.pod_exec import process_in_pod, run_in_pod
from tests.fakes.fake_api import FakeApi, Refusal

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

BOUND_SECONDS = 20.0


async def silent(ws: web.WebSocketResponse, _: list[str]) -> None:
    """Print a line, and then nothing any more."""
    await ws.send_bytes(b"\1first\n")
    async for _message in ws:
        pass


async def deaf(_: web.WebSocketResponse, __: list[str]) -> None:
    """Read nothing."""
    await asyncio.sleep(BOUND_SECONDS)


async def ended(ws: web.WebSocketResponse, _: list[str]) -> None:
    """End at once, without a word."""
    await ws.close()


async def run(kube: KubeClient) -> None:
    await run_in_pod(kube, "a test", ["sh"], seconds=1)


async def ask(kube: KubeClient) -> None:
    async with process_in_pod(kube, "a test", ["sh"], seconds=1) as process:
        async for _ in process.answers(range(10), str):
            pass


async def give_much(kube: KubeClient) -> None:
    async with process_in_pod(kube, "a test", ["sh"], seconds=1) as process:
        async for _ in process.answers(range(10), lambda _: "x" * 10_000_000):
            pass


@pytest.mark.parametrize("way", [run, ask])
async def test_one_that_prints_nothing_any_more(
    api: FakeApi, kube: KubeClient, way: Callable[[KubeClient], Awaitable[None]]
) -> None:
    api.program = silent
    with pytest.raises(ExecError, match="no output for 1 s"):
        async with asyncio.timeout(BOUND_SECONDS / 2):
            await way(kube)


async def test_one_that_reads_nothing(api: FakeApi, kube: KubeClient) -> None:
    api.program = deaf
    with pytest.raises(ExecError, match="no output for 1 s"):
        async with asyncio.timeout(BOUND_SECONDS / 2):
            await give_much(kube)


@pytest.mark.parametrize("way", [run, ask])
async def test_one_whose_connection_ends_at_once_is_our_error(
    api: FakeApi, kube: KubeClient, way: Callable[[KubeClient], Awaitable[None]]
) -> None:
    api.program = ended
    with pytest.raises(ExecError, match="the connection was lost"):
        await way(kube)


@pytest.mark.parametrize("subprotocol", [None, "v5.channel.k8s.io"])
async def test_one_that_is_answered_in_another_protocol_is_not_run(
    api: FakeApi, kube: KubeClient, subprotocol: str | None
) -> None:
    api.program, api.subprotocol = silent, subprotocol
    with pytest.raises(
        UpgradeError, match=rf"the answer has subprotocol {subprotocol or 'none'} instead of v4\.channel"
    ):
        await run(kube)


async def test_a_server_that_opens_no_websocket_is_quoted(api: FakeApi, kube: KubeClient) -> None:
    api.refusals = repeat(Refusal(400, "Upgrade request required"))
    with pytest.raises(UpgradeError, match="the answer was 400 Upgrade request required"):
        await run(kube)
