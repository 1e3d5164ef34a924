"""What a web page, a program that speaks no HTTP and an ordinary client get from an open tunnel."""

import asyncio
import gc
import socket
import ssl
from contextlib import closing

import aiohttp
import pytest

from cluster import near
from cluster.tunnel import Tunnel
from tests.cluster.fake_api import FakeApi
from tests.cluster.local import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30), pytest.mark.usefixtures("no_pauses")]


async def answered(tunnel: Tunnel, *sent: bytes) -> list[bytes]:
    """What has come back after each of these on one connection; after the last, all until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(sent[0])
            first = [await reader.readuntil(b"abc")] if len(sent) > 1 else []
            writer.writelines(sent[1:])
            return [*first, await reader.read()]


def sends(tunnel: Tunnel, method: str, *fields: str, body: bytes = b"") -> bytes:
    head = (f"{method} /echo HTTP/1.1", f"Host: {tunnel.address}", *fields, f"Content-Length: {len(body)}", "", "")
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


async def test_a_harmless_request_opens_no_way_for_the_next_on_its_connection(tunnel: Tunnel) -> None:
    echoed, refused = await answered(
        tunnel,
        sends(tunnel, "GET", body=b"abc"),
        sends(tunnel, "POST", "Origin: http://evil.example", body=b"a form"),
    )
    assert echoed == b"abc"
    assert refused.startswith(b"HTTP/1.1 403 ")
    assert b"a form" not in refused  # the pod sends back whatever comes


async def test_requests_sent_at_once_pass_in_order(tunnel: Tunnel) -> None:
    second = sends(tunnel, "PUT", body=b"def")
    last = sends(tunnel, "POST", "Origin: null")
    echoed, rest = await answered(tunnel, sends(tunnel, "GET", body=b"abc") + second, last)
    assert echoed == b"abc"
    assert rest.startswith((b"HTTP/1.1 403 ", second))


async def test_one_that_is_still_sending_reads_why_it_was_refused(tunnel: Tunnel) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        writer.write(sends(tunnel, "PUT", "Origin: null").replace(b": 0", b": 90000000"))
        await asyncio.wait([asyncio.ensure_future(reader.readuntil(b" 403 "))], timeout=PATIENCE_SECONDS)
        for _ in range(20):
            writer.write(bytes(near.PIECE))
            await writer.drain()
        assert b"DENIED" in await reader.read()


async def test_one_that_goes_on_sending_is_ended_after_a_while(tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "REFUSED_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
    with closing(writer):
        writer.write(sends(tunnel, "PUT", "Origin: null"))
        assert b"DENIED" in await reader.read()
        await until(lambda: not tunnel._links)


async def test_one_that_is_gone_before_it_is_refused_leaves_nothing_behind(tunnel: Tunnel) -> None:
    failures = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", tunnel.port)) as client:
            client.sendall(b"\x16\x03")
    async with aiohttp.ClientSession() as session, session.get(f"http://localhost:{tunnel.port}/v2/") as answer:
        assert answer.status == 200
    await until(lambda: not tunnel._links)
    gc.collect()
    assert failures == []


@pytest.mark.parametrize("said", [b"echo\n", b"SSH-2.0-x\r\n", b"\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_what_is_not_http_is_refused_at_once(api: FakeApi, tunnel: Tunnel, said: bytes) -> None:
    upgrades = list(api.upgrades)
    (answer,) = await answered(tunnel, said)
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
