"""What a web page, a program that speaks no HTTP and an ordinary client get from an open tunnel."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import aiohttp
import pytest

from kube_registry.tunnel import local_end
from kube_registry.tunnel.listener import Tunnel
from tests.fakes import fake_node
from tests.fakes.fake_api import FakeApi
from tests.fakes.fake_node import DATA
from tests.fakes.local import PATIENCE_SECONDS, until
from tests.fakes.target import given

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30), pytest.mark.usefixtures("no_pauses")]


@asynccontextmanager
async def connection(tunnel: Tunnel) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield reader, writer


async def until_reset(reader: asyncio.StreamReader) -> bytes:
    """All that still comes before the connection is reset; an end like any other is no reset."""
    came = b""
    with pytest.raises(ConnectionResetError):  # noqa: PT012 - what came before counts
        while data := await reader.read(1 << 16):
            came += data
    return came


def sends(tunnel: Tunnel, method: str, *fields: str, body: bytes = b"", path: str = "/echo") -> bytes:
    host = () if any(each.startswith("Host:") for each in fields) else (f"Host: {tunnel.address}",)
    head = (f"{method} {path} HTTP/1.1", *host, *fields, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
async def test_a_page_gets_403_and_the_pod_nothing(
    api: FakeApi, tunnel: Tunnel, method: str, headers: dict[str, str]
) -> None:
    upgrades, sent = list(api.upgrades), tunnel.traffic.sent
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{tunnel.address}/v2/_catalog", headers=headers) as answer,
    ):
        assert answer.status == 403
        assert method == "HEAD" or (await answer.json())["errors"][0]["code"] == "DENIED"
    assert (api.upgrades, tunnel.traffic.sent) == (upgrades, sent)
    assert tunnel.trouble is None


@pytest.mark.parametrize("size", [0, 3, 100_000])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_harmless_request_opens_no_way_for_the_next_on_its_connection(
    tunnel: Tunnel, method: str, size: int
) -> None:
    async with connection(tunnel) as (reader, writer):
        writer.write(sends(tunnel, method, path=f"/answer/{size}"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(size if method == "GET" else 0) == given(size if method == "GET" else 0)
        writer.write(sends(tunnel, "POST", "Origin: http://evil.example", body=b"a form"))
        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")


REFUSED = {
    "an origin": "Origin: null",
    "another host": "Host: evil.example",
    "no HTTP": "a line without a colon",
}


@pytest.mark.parametrize("field", REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_never_lands_in_the_middle_of_an_answer(tunnel: Tunnel, field: str) -> None:
    size = 30_000_000
    async with connection(tunnel) as (reader, writer):
        writer.write(sends(tunnel, "GET", path=f"/answer/{size}"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(sends(tunnel, "POST", field))
        assert given(size).startswith(await until_reset(reader))


@pytest.mark.parametrize("apart", [True, False])
async def test_a_refusal_is_never_the_answer_to_an_earlier_request(api: FakeApi, tunnel: Tunnel, apart: bool) -> None:  # noqa: FBT001
    api.node = fake_node.reads_nothing
    first, second = sends(tunnel, "PUT", body=b"abc"), sends(tunnel, "POST", "Origin: null")
    async with connection(tunnel) as (reader, writer):
        upgrades = len(api.upgrades)
        writer.write(first if apart else first + second)
        if apart:
            await until(lambda: len(api.upgrades) > upgrades)
            writer.write(second)
        assert await until_reset(reader) == b""


ANSWERS = {
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", True),
    "a head that has not ended": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", False),
    "half a body": (b"HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nab", False),
    "an interim answer alone": (b"HTTP/1.1 100 Continue\r\n\r\n", False),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    "until the end": (b"HTTP/1.0 200 OK\r\n\r\n", False),
    "more than was asked for": (b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 408 Request Timeout\r\n\r\n", False),
    "no HTTP": (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", False),
}


@pytest.mark.parametrize(("answer", "ended"), ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("step", [1, 1000])
async def test_it_is_written_where_the_answer_before_has_ended_for_sure(
    api: FakeApi,
    tunnel: Tunnel,
    answer: bytes,
    ended: bool,  # noqa: FBT001
    step: int,
) -> None:
    api.node = fake_node.sends(*(DATA + answer[at : at + step] for at in range(0, len(answer), step)))
    async with connection(tunnel) as (reader, writer):
        writer.write(sends(tunnel, "GET"))
        assert await reader.readexactly(len(answer)) == answer
        writer.write(sends(tunnel, "POST", "Origin: null"))
        rest = await (reader.read() if ended else until_reset(reader))
    assert rest.startswith(b"HTTP/1.1 403 ") if ended else rest == b""


@pytest.mark.parametrize(
    ("answer", "words"), [(b"", b"HTTP/1.1 400 "), (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"")]
)
async def test_a_body_that_is_refused_has_one_answer(api: FakeApi, tunnel: Tunnel, answer: bytes, words: bytes) -> None:
    api.node = fake_node.sends(DATA + answer)
    chunked = f"PUT /x HTTP/1.1\r\nHost: {tunnel.address}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with connection(tunnel) as (reader, writer):
        writer.write(chunked.encode())
        assert await reader.readexactly(len(answer)) == answer
        writer.write(b"5;a=b\r\nhello\r\n0\r\n\r\n")
        rest = await (reader.read() if words else until_reset(reader))
    assert rest.startswith(words)


async def test_one_that_is_still_sending_reads_why_it_was_refused(tunnel: Tunnel) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        writer.write(sends(tunnel, "PUT", "Origin: null").replace(b": 0", b": 90000000"))
        await asyncio.wait([asyncio.ensure_future(reader.readuntil(b" 403 "))], timeout=PATIENCE_SECONDS)
        for _ in range(20):
            writer.write(bytes(local_end.PIECE))
            await writer.drain()
        assert b"DENIED" in await reader.read()


async def test_one_that_goes_on_sending_is_ended_after_a_while(tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_end, "REFUSED_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        writer.write(sends(tunnel, "PUT", "Origin: null"))
        assert b"DENIED" in await reader.read()
        await until(lambda: not tunnel.connections)


async def test_one_that_is_gone_before_it_is_refused_leaves_nothing_behind(tunnel: Tunnel) -> None:
    failures = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", tunnel.port)) as client:
            client.sendall(b"\x16\x03")
    async with aiohttp.ClientSession() as session, session.get(f"http://localhost:{tunnel.port}/v2/") as answer:
        assert answer.status == 200
    await until(lambda: not tunnel.connections)
    gc.collect()
    assert failures == []


@pytest.mark.parametrize("said", [b"echo\n", b"SSH-2.0-x\r\n", b"\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_what_is_not_http_is_refused_at_once(api: FakeApi, tunnel: Tunnel, said: bytes) -> None:
    upgrades = list(api.upgrades)
    async with connection(tunnel) as (reader, writer):
        writer.write(said)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert api.upgrades == upgrades


async def test_a_client_that_tries_https_first_learns_that_it_is_http(tunnel: Tunnel) -> None:
    """Docker does, and Go's client goes on with HTTP when the first bytes are "HTTP/" (net/http, transport.go)."""
    tls = ssl.create_default_context()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(ssl.SSLError, match=r"WRONG_VERSION_NUMBER|HTTP_REQUEST|RECORD_LAYER_FAILURE"):
            await asyncio.open_connection("127.0.0.1", tunnel.port, ssl=tls, server_hostname="localhost")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_client_on_this_machine_gets_the_registrys_answer(tunnel: Tunnel, host: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{tunnel.port}/v2/") as answer:
        assert answer.status == 200
