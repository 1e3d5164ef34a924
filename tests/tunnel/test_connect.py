"""How often a connection asks for its far end, to the exact number, and what it says when there is none."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from kube_registry.errors import ClusterError, KubeRegistryError
from kube_registry.kube import retries, translate
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.errors import CertificateError, CredentialsError, ForbiddenError, RefusedError, UnreachableError
from kube_registry.tunnel import connect as dialling
from kube_registry.tunnel.connect import DIAL_TRIES, PodConnection, dial
from kube_registry.tunnel.errors import TunnelForbiddenError, TunnelProtocolError, TunnelTimeoutError
from lab import pki
from tests.fakes.fake_api import FakeApi, FakePod, Refusal, settings_for
from tests.fakes.local import until
from tests.fakes.target import Target

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30), pytest.mark.usefixtures("no_pauses")]

PUSH_PORT = 20_100
ONE_AND_WHY = 2
"""A refused upgrade does not show why, so the same is asked once more in a way that does."""

MISSING_RIGHT = (
    'pods "registry-1" is forbidden: User "eve" cannot get resource "pods/portforward" in API group "" '
    'in the namespace "kube-registry"'
)


async def dialled(kube: KubeClient, heard: list[KubeRegistryError] | None = None) -> PodConnection:
    note = [] if heard is None else heard
    async with dial(kube, PUSH_PORT, note.append) as connection:
        return connection


async def failure(kube: KubeClient, heard: list[KubeRegistryError] | None = None) -> ClusterError:
    """Why there is no connection; every reason says in its fields and in its words where."""
    with pytest.raises(ClusterError) as raised:
        await dialled(kube, heard)
    error = raised.value
    assert error.where == kube.where
    for word in (kube.where.cluster, kube.where.kube_context):
        assert word in str(error)
    return error


async def looked_for_pods(api: FakeApi, times: int) -> None:
    enough = api.looks + times
    await until(lambda: api.looks >= enough)


def names_the_port(error: ClusterError) -> bool:
    return vars(error)["push_port"] == PUSH_PORT and str(PUSH_PORT) in str(error)


class TestWhatMayPass:
    @pytest.mark.parametrize("status", [404, 409, 429, 500, 502, 503, 504])
    async def test_a_refused_forward_is_asked_for_so_often_and_no_more(
        self, api: FakeApi, kube: KubeClient, status: int
    ) -> None:
        api.refusals = repeat(Refusal(status))
        heard: list[KubeRegistryError] = []
        error = await failure(kube, heard)
        assert type(error) is RefusedError
        assert error.status == status
        assert api.upgrades == ["registry-1"] * DIAL_TRIES
        assert len(heard) == DIAL_TRIES - 1

    @pytest.mark.parametrize("refused", range(1, DIAL_TRIES))
    async def test_it_is_taken_as_soon_as_it_is_granted(self, api: FakeApi, kube: KubeClient, refused: int) -> None:
        api.refusals = iter([Refusal(500, "etcd is not there")] * refused)
        heard: list[KubeRegistryError] = []
        line = await dialled(kube, heard)
        assert (line.pod, line.tries) == ("registry-1", refused + 1)
        assert len(api.upgrades) == refused + 1
        assert [type(error) for error in heard] == [RefusedError] * refused

    @pytest.mark.parametrize("status", [404, 429, 500])
    async def test_a_refused_list_of_pods_is_a_try_too(self, api: FakeApi, kube: KubeClient, status: int) -> None:
        api.list_refusals = repeat(Refusal(status, "not now"))
        assert (await failure(kube)).__class__ is RefusedError
        assert (api.looks, api.upgrades) == (DIAL_TRIES, [])

    @pytest.mark.parametrize("asked_for", ["refusals", "list_refusals"])
    @pytest.mark.parametrize("status", [429, 503])
    async def test_a_busy_api_server_is_asked_again_no_sooner_than_it_wants(
        self, api: FakeApi, kube: KubeClient, asked_for: str, status: int
    ) -> None:
        setattr(api, asked_for, iter([Refusal(status, "busy", retry_after="1")]))
        started = time.monotonic()
        await dialled(kube)
        assert 1 <= time.monotonic() - started < 10

    async def test_an_api_server_that_hangs_up_is_asked_so_often_and_no_more(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        async with hanging_up() as door, open_client(settings_for(door.url, authority, tmp_path)) as kube:
            assert type(await failure(kube)) is UnreachableError
        assert door.knocks == 2 * DIAL_TRIES  # aiohttp itself sends a GET that was hung up on once more

    async def test_an_api_server_that_says_nothing_is_asked_so_often_and_no_more(
        self, api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(translate, "REQUEST_SECONDS", 0.05)
        api.deaf = True
        heard: list[KubeRegistryError] = []
        error = await failure(kube, heard)
        assert type(error) is UnreachableError
        assert "no response within" in str(error)
        assert len(heard) == DIAL_TRIES - 1


class TestWhatNoWaitingMends:
    @pytest.mark.parametrize("status", [400, 405])
    async def test_a_refusal_of_another_kind_is_asked_for_once(
        self, api: FakeApi, kube: KubeClient, status: int
    ) -> None:
        api.refusals = repeat(Refusal(status, "never"))
        assert type(await failure(kube)) is RefusedError
        assert len(api.upgrades) == (ONE_AND_WHY if status == 400 else 1)

    async def test_unknown_credentials(self, api: FakeApi, kube: KubeClient) -> None:
        api.list_refusals = repeat(Refusal(401, "Unauthorized"))
        heard: list[KubeRegistryError] = []
        assert type(await failure(kube, heard)) is CredentialsError
        assert (api.looks, api.upgrades, heard) == (1, [], [])

    async def test_credentials_that_end_between_list_and_forward(self, api: FakeApi, kube: KubeClient) -> None:
        api.refusals = repeat(Refusal(401, "Unauthorized"))
        assert type(await failure(kube)) is CredentialsError
        assert len(api.upgrades) == 1

    async def test_a_missing_right_is_named(self, api: FakeApi, kube: KubeClient) -> None:
        api.refusals = repeat(Refusal(403, MISSING_RIGHT))
        error = await failure(kube)
        assert isinstance(error, TunnelForbiddenError)
        assert (error.user, error.verb, error.resource) == ("eve", "get", "pods/portforward")
        assert names_the_port(error)
        assert len(api.upgrades) == ONE_AND_WHY

    async def test_a_right_that_an_upgrade_does_not_name_is_asked_for_by_a_post(
        self, api: FakeApi, kube: KubeClient
    ) -> None:
        """From Kubernetes 1.35 on, the API server checks `create` after `get`, and then gives no reason."""
        nameless = Refusal(403, 'pods "registry-1" is forbidden: ')
        api.refusals = iter([nameless, nameless, Refusal(403, MISSING_RIGHT.replace("get", "create"))])
        error = await failure(kube)
        assert isinstance(error, TunnelForbiddenError)
        assert (error.verb, error.resource) == ("create", "pods/portforward")
        assert names_the_port(error)

    async def test_a_missing_right_to_list_pods_is_named_too(self, api: FakeApi, kube: KubeClient) -> None:
        api.list_refusals = repeat(Refusal(403, MISSING_RIGHT.replace("get", "list").replace("/portforward", "")))
        error = await failure(kube)
        assert isinstance(error, ForbiddenError)
        assert (error.verb, error.resource) == ("list", "pods")
        assert api.looks == 1

    async def test_a_403_without_words_is_a_node_that_speaks_another_protocol(
        self, api: FakeApi, kube: KubeClient
    ) -> None:
        api.refusals = repeat(Refusal(403))
        error = await failure(kube)
        assert isinstance(error, TunnelProtocolError)
        assert "the node refused v4.channel.k8s.io" in str(error)
        assert names_the_port(error)
        assert len(api.upgrades) == ONE_AND_WHY

    @pytest.mark.parametrize(
        ("refusal", "said"),
        [
            (Refusal(400, "Upgrade request required"), "the answer was 400 Upgrade request required"),
            (Refusal(400), "the answer was 400 Bad Request"),
            (Refusal(400, body="missing or bad WebSocket-Protocol"), "was 400 missing or bad WebSocket-Protocol"),
            (Refusal(426), "the answer was 426 Upgrade Required"),
            (Refusal(200, body="<html>log in"), "the answer was 200"),
        ],
    )
    async def test_a_server_that_does_not_pass_the_protocol_is_quoted(
        self, api: FakeApi, kube: KubeClient, refusal: Refusal, said: str
    ) -> None:
        api.refusals = repeat(refusal)
        error = await failure(kube)
        assert isinstance(error, TunnelProtocolError)
        assert said in str(error)
        assert names_the_port(error)
        assert len(api.upgrades) == (1 if refusal.status == 200 else ONE_AND_WHY)

    async def test_a_400_for_another_reason_is_not_about_the_protocol(self, api: FakeApi, kube: KubeClient) -> None:
        api.refusals = repeat(Refusal(400, "container write is not valid for pod registry-1"))
        assert type(await failure(kube)) is RefusedError

    @pytest.mark.parametrize("asked_for", ["refusals", "list_refusals"])
    async def test_a_403_with_other_words_keeps_them(self, api: FakeApi, kube: KubeClient, asked_for: str) -> None:
        setattr(api, asked_for, repeat(Refusal(403, "admission webhook denied the request: no port-forwards here")))
        error = await failure(kube)
        assert type(error) is RefusedError
        assert "no port-forwards here" in str(error)
        assert (api.looks, len(api.upgrades)) == (1, ONE_AND_WHY if asked_for == "refusals" else 0)

    async def test_a_certificate_that_is_not_trusted(
        self, tls_api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retries, "_back_off", lambda _: pytest.fail("it is tried again"))
        stranger = pki.found(tmp_path / "stranger")
        async with open_client(settings_for(tls_api.server, stranger, tmp_path)) as kube:
            assert isinstance(await failure(kube), CertificateError)
        assert tls_api.looks == 0


class TestWaitingForAPod:
    async def test_costs_no_try(self, api: FakeApi, kube: KubeClient) -> None:
        there = api.pods[0]
        api.pods = []
        heard: list[KubeRegistryError] = []
        dialling = asyncio.create_task(dialled(kube, heard))
        for seen in ([], [replace(there, ready=False)], [replace(there, leaving=True)]):
            api.pods = seen
            await looked_for_pods(api, DIAL_TRIES + 1)
        api.pods = [there]
        assert (await dialling).tries == 1
        assert len(api.upgrades) == 1
        said = " ".join(str(error) for error in heard)
        for words in ("it has no pod yet", "pod registry-1 is Running", "its pod is terminating"):
            assert words in said

    async def test_a_pod_that_stays_is_taken_before_one_that_leaves(
        self, api: FakeApi, kube: KubeClient, target: Target
    ) -> None:
        api.pods = [replace(api.pods[0], leaving=True), FakePod("registry-2", target.port)]
        assert (await dialled(kube)).pod == "registry-2"
        assert (api.looks, api.upgrades) == (1, ["registry-2"])

    async def test_a_pod_that_goes_between_list_and_forward_is_made_up_for_at_once(
        self, api: FakeApi, kube: KubeClient, target: Target
    ) -> None:
        gone = Refusal(404, 'pods "registry-1" not found')

        def replaced() -> Iterator[Refusal]:
            api.pods = [FakePod("registry-2", target.port)]
            yield gone

        api.refusals = replaced()
        connection = await dialled(kube)
        assert (connection.pod, connection.tries) == ("registry-2", 2)
        assert api.upgrades == ["registry-1", "registry-2"]


class TestDeadline:
    SECONDS = 0.5

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialling, "DIAL_SECONDS", self.SECONDS)

    async def timed_out(self, kube: KubeClient) -> TunnelTimeoutError:
        started = asyncio.get_running_loop().time()
        error = await failure(kube)
        assert isinstance(error, TunnelTimeoutError)
        assert self.SECONDS <= asyncio.get_running_loop().time() - started < self.SECONDS + 10
        assert error.seconds == self.SECONDS
        assert names_the_port(error)
        return error

    async def test_without_a_pod_it_says_why_there_is_none(self, api: FakeApi, kube: KubeClient) -> None:
        api.pods = []
        assert (await self.timed_out(kube)).reason == "it has no pod yet"
        assert api.upgrades == []

    async def test_a_silent_api_server_is_the_cause(self, api: FakeApi, kube: KubeClient) -> None:
        api.deaf = True
        assert (await self.timed_out(kube)).reason == "the API server is not responding"

    async def test_the_last_cause_counts(self, api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialling, "DIAL_TRIES", 1000)
        api.list_refusals = iter([Refusal(500, "etcd is not there")] * 3)
        api.refusals = repeat(Refusal(503, "the node is not there"))
        pauses = chain([0.0] * 3, repeat(60.0))
        monkeypatch.setattr(retries, "_back_off", lambda _: next(pauses))
        assert "/pods/registry-1/portforward was refused with status 503" in (await self.timed_out(kube)).reason
        assert (api.looks, len(api.upgrades)) == (4, 1)


@dataclass
class Door:
    url: str
    knocks: int = 0


@asynccontextmanager
async def hanging_up() -> AsyncIterator[Door]:
    """A server that takes a connection, hears a request and hangs up."""
    door = Door("")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            door.knocks += 1

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        door.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield door
