"""What passes by itself is waited for: an API server that refuses, stutters and hangs up, asked by the real client."""

import asyncio
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from aiohttp import web

from kube_registry import __version__
from kube_registry.kube import retries
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.errors import RefusedError, UnreachableError
from kube_registry.kube.websocket import open_websocket
from kube_registry.registry.errors import NotReadyError
from kube_registry.registry.readiness import wait_node_proxy_ready, wait_ready
from kube_registry.tunnel.frames import PROTOCOL
from tests.e2e.commands import commands_of
from tests.fakes.connecting import kubeconfig, settings
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]

RESET = 0
"""Stands for a connection that is cut once the request has been read."""

OBJECT = {
    "metadata": {"generation": 1},
    "spec": {"replicas": 1},
    "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    "items": [{"metadata": {"name": "registry"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}],
}
"""A Deployment that is rolled out and a list with its pod: what it answers to every request."""


@dataclass
class Faulty:
    """An API server that first answers with faults.

    Attributes:
        url: where it is.
        faults: statuses, or RESET, one for each request; then it answers as it should.
        retry_after: header of its 429 and 503.

        asked: method and status of each request.
        agents: the User-Agents that it was asked by.
    """

    url: str = ""
    faults: Iterator[int] = field(default_factory=lambda: iter(()))
    retry_after: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.agents.add(request.headers["User-Agent"])
        status = next(self.faults, 200)
        self.asked.append((request.method, status))
        if status == RESET:
            assert request.transport
            request.transport.abort()
            return web.Response()
        if status == 200 and "Upgrade" in request.headers:
            socket = web.WebSocketResponse(protocols=[PROTOCOL])
            await socket.prepare(request)
            return socket
        headers = {"Retry-After": self.retry_after} if self.retry_after and status in (429, 503) else {}
        body = OBJECT if status == 200 else {"kind": "Status", "message": f"words of {status}"}
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Faulty]:
    api = Faulty()
    runner = web.ServerRunner(web.Server(api.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


@pytest.fixture
async def api() -> AsyncIterator[Faulty]:
    async with serving() as api:
        yield api


@pytest.fixture
async def kube(api: Faulty, tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with open_client(settings(kubeconfig(tmp_path / "config", {"server": api.url}, {}))) as kube:
        yield kube


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 0.6)


Ask = Callable[[KubeClient], Awaitable[object]]


async def upgrade(kube: KubeClient) -> None:
    async with open_websocket(kube, "/pods/it/exec", PROTOCOL):
        pass


SAFE: dict[str, Ask] = {
    "GET": lambda kube: kube.get("/it"),
    "PATCH": lambda kube: kube.apply("/it", {}),
    "PUT": lambda kube: kube.replace("/it", {}),
    "DELETE": lambda kube: kube.delete("/it"),
    "POST": lambda kube: kube.create("/its", {}, repeatable=True),
}
safe = pytest.mark.parametrize("method", SAFE)


class TestAskedAgain:
    @safe
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    async def test_after_a_refusal_that_passes(self, api: Faulty, kube: KubeClient, method: str, status: int) -> None:
        api.faults = iter([status, status])
        await SAFE[method](kube)
        assert api.asked == [(method, status), (method, status), (method, 200)]

    @safe
    async def test_after_a_connection_that_was_cut(self, api: Faulty, kube: KubeClient, method: str) -> None:
        api.faults = iter([RESET, RESET, RESET])
        await SAFE[method](kube)
        assert api.asked[-1] == (method, 200)
        assert {asked for asked, _ in api.asked} == {method}

    @pytest.mark.parametrize("fault", [429, 500, 503, RESET])
    async def test_for_a_websocket(self, api: Faulty, kube: KubeClient, fault: int) -> None:
        api.faults = iter([fault, fault, fault])
        await upgrade(kube)
        assert api.asked[-1] == ("GET", 200)

    async def test_no_sooner_than_the_api_server_wants(self, api: Faulty, kube: KubeClient) -> None:
        api.faults, api.retry_after = iter([429]), "1"
        started = time.monotonic()
        await kube.get("/it")
        assert 1 <= time.monotonic() - started < 5

    async def test_by_a_wait_for_readiness(self, api: Faulty, kube: KubeClient) -> None:
        for fault in (429, 500, 503, 504, RESET):
            api.faults = iter([fault])
            await wait_ready(kube, seconds=120)

    async def test_a_create_that_was_refused_for_too_many_requests(self, api: Faulty, kube: KubeClient) -> None:
        api.faults = iter([429, 429])
        await kube.create("/its", {})
        assert api.asked == [("POST", 429), ("POST", 429), ("POST", 200)]

    async def test_a_create_that_was_never_sent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        port, refused = free_port(), asyncio.Event()

        def pause(_: object) -> float:
            refused.set()
            return 0.05

        monkeypatch.setattr(retries, "_back_off", pause)
        file = kubeconfig(tmp_path / "config", {"server": f"http://127.0.0.1:{port}"}, {})
        async with open_client(settings(file)) as kube, asyncio.TaskGroup() as group:
            created = group.create_task(kube.until(time.monotonic() + 30).create("/its", {}))
            await refused.wait()
            async with serving(port) as api:
                await created
                assert api.asked == [("POST", 200)]


@pytest.mark.parametrize("wait", [wait_ready, partial(wait_node_proxy_ready, namespace="kube-registry")])
async def test_what_was_deleted_by_hand_is_made_again_by_a_refresh(
    api: Faulty, kube: KubeClient, wait: Callable[..., Awaitable[None]]
) -> None:
    """The state of a program that does not refresh still has it, and no update of that would make it."""
    api.faults = iter([404])
    with pytest.raises(NotReadyError, match="one of its objects was deleted") as raised:
        await wait(kube, seconds=120)
    assert commands_of(raised.value) == ["pulumi up --stack dev --refresh"]


class TestNotAskedAgain:
    @pytest.mark.parametrize("status", [500, 503, 504, RESET])
    async def test_a_create_that_may_have_been_carried_out(self, api: Faulty, kube: KubeClient, status: int) -> None:
        api.faults = repeat(status)
        with pytest.raises((RefusedError, UnreachableError)):
            await kube.create("/its", {})
        assert api.asked == [("POST", status)]

    @safe
    @pytest.mark.parametrize("status", [400, 403, 409, 422])
    async def test_what_is_refused_for_good(self, api: Faulty, kube: KubeClient, method: str, status: int) -> None:
        api.faults = repeat(status)
        with pytest.raises(RefusedError):
            await SAFE[method](kube)
        assert api.asked == [(method, status)]

    async def test_by_callers_that_try_again_themselves(self, api: Faulty, kube: KubeClient) -> None:
        api.faults = repeat(503)
        with pytest.raises(RefusedError):
            await kube.once.get("/it")
        with pytest.raises(RefusedError):
            await upgrade(kube.once)
        assert len(api.asked) == 2


class TestBounds:
    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("fault", [429, 500, 503])
    async def test_what_stays_is_reported_in_the_api_servers_words(
        self, api: Faulty, kube: KubeClient, fault: int
    ) -> None:
        api.faults, api.retry_after = repeat(fault), "1000"
        started = time.monotonic()
        with pytest.raises(RefusedError) as raised:
            await kube.get("/it")
        assert (raised.value.status, raised.value.reason) == (fault, f"words of {fault}")
        assert 0.6 <= time.monotonic() - started < 5
        assert len(api.asked) > 1

    @pytest.mark.usefixtures("impatient")
    async def test_a_wait_has_its_own_end_for_a_busy_api_server(self, api: Faulty, kube: KubeClient) -> None:
        api.faults = repeat(503)
        started = time.monotonic()
        with pytest.raises(RefusedError):
            await wait_ready(kube, seconds=1.5)
        assert 1.5 <= time.monotonic() - started < 6

    @pytest.mark.usefixtures("impatient")
    async def test_and_none_that_is_later_for_a_broken_webhook(self, api: Faulty, kube: KubeClient) -> None:
        api.faults = repeat(500)
        started = time.monotonic()
        with pytest.raises(RefusedError, match="words of 500"):
            await wait_ready(kube, seconds=50)
        assert time.monotonic() - started < 6

    async def test_no_connection_at_all_is_reported_soon(self, tmp_path: Path) -> None:
        file = kubeconfig(tmp_path / "config", {"server": f"http://127.0.0.1:{free_port()}"}, {})
        started = time.monotonic()
        async with open_client(settings(file)) as kube:
            with pytest.raises(UnreachableError):
                await kube.get("/it")
        assert time.monotonic() - started < retries.CONNECT_SECONDS + 3


async def test_it_names_itself_and_its_version(api: Faulty, kube: KubeClient) -> None:
    await kube.get("/it")
    assert api.agents == {f"{PROJECT['name']}/{__version__}"}
