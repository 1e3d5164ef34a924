"""No error of a lower library gets past KubeClient: all that they have, and what real sockets do."""

import asyncio
import json
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from yarl import URL

from kube_registry.errors import ClusterError, Where
from kube_registry.kube import translate
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.connection import Access, Session
from kube_registry.kube.credentials import Credential
from kube_registry.kube.errors import ForbiddenError, KubeconfigError, RefusedError, UnreachableError, UpgradeError
from kube_registry.kube.kubeconfig import usable
from kube_registry.kube.websocket import open_websocket
from lab import pki
from tests.fakes.connecting import PROTOCOL, kubeconfig, serve, settings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_patience")]
WHERE = Where(cluster="https://10.0.0.1", kube_context="here", namespace="kube-registry")

NOT_OURS = {
    "aiohttp.web": "the server's side",
    "aiohttp.pytest_plugin": "the server's side",
    "aiohttp._websocket.models.WSHandshakeError": "the server's side",
    "aiohttp.client_exceptions.WSMessageTypeError": "of receive_str and the like, which we do not call",
    "aiohttp.payload.LookupError": "of bodies that are sent, and we send none",
    "aiohttp.multipart": "of forms, and we send and read none",
}
"""What is left out, and why."""


def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for lower in kind.__subclasses__():
        yield from below(lower)


def lower_errors() -> list[type[BaseException]]:
    """Every exception that the libraries below define, whatever it derives from, and those of sockets and answers."""
    libraries = ("aiohttp.", "ssl.")
    found = [
        kind
        for kind in set(below(Exception))
        if (name := f"{kind.__module__}.{kind.__qualname__}").startswith(libraries)
        and not any(name.startswith(other) for other in NOT_OURS)
    ]
    sockets = [kind for kind in below(OSError) if kind.__module__ in ("builtins", "socket")]
    answers = [asyncio.IncompleteReadError, json.JSONDecodeError, UnicodeDecodeError, ValueError, EOFError]
    return sorted({*found, *sockets, *answers}, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def made(kind: type[BaseException]) -> BaseException:
    """One of that kind, as the library would make it."""
    request = aiohttp.RequestInfo(URL("https://10.0.0.1"), "GET", {}, URL("https://10.0.0.1"))  # type: ignore[arg-type]
    key = aiohttp.client_reqrep.ConnectionKey("10.0.0.1", 443, True, True, None, None, None)  # noqa: FBT003
    arguments: dict[str, tuple[Any, ...]] = {
        "ClientConnectorCertificateError": (key, ssl.CertificateError("it is another's")),
        "UnixClientConnectorError": ("/socket", key, OSError(111, "refused")),
        "ClientConnectorError": (key, OSError(111, "refused")),
        "ClientResponseError": (request, ()),
        "ServerFingerprintMismatch": (b"1", b"2", "10.0.0.1", 443),
        "IncompleteReadError": (b"", 3),
        "JSONDecodeError": ("no JSON", "<", 0),
        "UnicodeDecodeError": ("utf-8", b"\xff", 0, 1, "no text"),
        "BadHttpMethod": ("GTE",),
        "BadStatusLine": ("?",),
        "InvalidHeader": ("x",),
        "LineTooLong": (b"x" * 9, 8),
        "HttpProcessingError": (),
        "BadHttpMessage": ("bad",),
        "WebSocketError": (1002, "bad frame"),
        "DecompressSizeError": ("too large",),
        "PayloadEncodingError": ("bad",),
        "ReaderError": ("config", 0, 0, "utf-8", "no YAML"),
    }
    for each in kind.__mro__:
        if each.__name__ in arguments:
            return kind(*arguments[each.__name__])
    return kind("words")


class _Raising:
    """A connection whose every request ends in one error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def request(self, *_: object, **__: object) -> None:
        raise self.error

    ws_connect = request


class _AccessTo(Access):
    def __init__(self, session: Any) -> None:  # noqa: ANN401 - in place of a real one
        self.where = WHERE
        self.only = Session(session, {}, Credential())

    async def session(self, refused: Session | None = None) -> Session:
        return refused or self.only


async def by_get(kube: KubeClient) -> None:
    await kube.get("/version")


async def by_websocket(kube: KubeClient) -> None:
    async with open_websocket(kube, "/socket", PROTOCOL, ports="5000"):
        pass


Way = Callable[[KubeClient], Awaitable[None]]
both_ways = pytest.mark.parametrize("way", [by_get, by_websocket])


class TestEveryError:
    def test_there_are_many_of_each_library(self) -> None:
        modules = [kind.__module__.split(".")[0] for kind in lower_errors()]
        assert min(modules.count(name) for name in ("aiohttp", "ssl", "builtins")) >= 7

    @both_ways
    async def test_none_gets_past_a_request(self, way: Way) -> None:
        for kind in lower_errors():
            error = made(kind)
            with pytest.raises((UnreachableError, RefusedError)) as raised:
                await way(KubeClient(_AccessTo(_Raising(error))))
            assert "\n" not in str(raised.value)
            assert raised.value.__cause__ is error

    async def test_none_gets_past_the_opening(self) -> None:
        for kind in [*lower_errors(), *below(yaml.YAMLError), KeyError, TypeError, AttributeError]:
            error = made(kind)
            with pytest.raises(KubeconfigError) as raised, usable(WHERE):
                raise error
            assert "\n" not in str(raised.value)

    async def test_none_gets_past_a_credential_that_is_asked_for_anew(self) -> None:
        for error in map(made, lower_errors()):

            async def ask(error: BaseException = error) -> Credential:
                raise error

            access = Access(WHERE, None, ask, (), None)  # type: ignore[arg-type]
            with pytest.raises(KubeconfigError):
                await KubeClient(access).get("/version")

    @both_ways
    async def test_a_cancelled_request_stays_cancelled(self, way: Way) -> None:
        with pytest.raises(asyncio.CancelledError):
            await way(KubeClient(_AccessTo(_Raising(asyncio.CancelledError()))))


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])
    return head.encode() + body


class TestRealSockets:
    @both_ways
    @pytest.mark.parametrize(
        "said",
        [
            None,
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x16\x03\x01\x00\x00garbage\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            http(b"<html>Please log in</html>"),
            http(b"[1]"),
            http(b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
            http(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, status="403 Forbidden"),
            http(b"\xff\xfe"),
            http(b"no gzip", "Content-Encoding: gzip"),
            http(b"", "Location: /again", status="302 Found"),
            http(b"", "Location: ftp://elsewhere", status="302 Found"),
            http(b"", "X-Long: " + "x" * 100_000),
            http(b"", "Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols"),
            http(b"broken", status="500 Internal Server Error"),
            http(b"", status="999 What"),
        ],
        ids=lambda said: "reset" if said is None else repr(said[:60]),
    )
    async def test_whatever_answers_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, said: bytes | None
    ) -> None:
        monkeypatch.setattr(translate, "REQUEST_SECONDS", 2.0)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            if said is None:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                writer.write(said)
            writer.close()

        error = await self._failure(way, tmp_path, answer)
        assert isinstance(error, UnreachableError | RefusedError)

    @both_ways
    async def test_silence_is_waited_for_a_while_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
    ) -> None:
        monkeypatch.setattr(translate, "REQUEST_SECONDS", 0.2)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        assert "no response within" in str(await self._failure(way, tmp_path, answer))

    async def test_html_is_no_api_server(self, tmp_path: Path) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(b"<html>Please log in</html>"))
            writer.close()

        error = await self._failure(by_get, tmp_path, answer)
        assert "the server that answered GET /version is not an API server" in str(error)

    @both_ways
    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_tls_and_none_met(self, authority: pki.Authority, tmp_path: Path, way: Way, scheme: str) -> None:
        async with serve(authority if scheme == "http" else None) as api:
            server = f"{scheme}://{api.url.partition('://')[2]}"
            file = kubeconfig(tmp_path / "config", {"server": server}, {})
            async with open_client(settings(file)) as kube:
                with pytest.raises((UnreachableError, RefusedError)):
                    await way(kube)

    async def _failure(self, way: Way, folder: Path, answer: Callable[..., Awaitable[None]]) -> ClusterError:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            file = kubeconfig(folder / "config", {"server": f"http://127.0.0.1:{port}"}, {})
            async with open_client(settings(file)) as kube:
                with pytest.raises(ClusterError) as raised:
                    await way(kube)
        assert "\n" not in str(raised.value)
        return raised.value


STATUS = {
    "kind": "Status",
    "message": 'pods "registry-1" is forbidden: User "eve" cannot create resource "pods/portforward" in API group "" '
    'in the namespace "kube-registry"',
}


class TestRefusedUpgrade:
    async def test_the_right_is_named_that_an_upgrade_needs(self, tmp_path: Path) -> None:
        """The second question looks like an upgrade too, or another right would be asked for (protocol fact 6)."""
        refused = http(json.dumps(STATUS).encode(), status="403 Forbidden")
        asked, error = await self._refused(tmp_path, refused, refused)
        assert isinstance(error, ForbiddenError)
        assert "does not let eve create pods/portforward in namespace kube-registry" in str(error)
        first, second = ({line.lower() for line in each.splitlines()} for each in asked)
        for line in ("upgrade: websocket", "connection: upgrade", f"sec-websocket-protocol: {PROTOCOL}"):
            assert line in first
            assert line in second
        assert any(line.startswith("sec-websocket-key: ") for line in second)
        assert first & {"get /socket?ports=5000 http/1.1"} == second & {"get /socket?ports=5000 http/1.1"}

    async def test_a_refusal_without_words_is_about_the_protocol(self, tmp_path: Path) -> None:
        asked, error = await self._refused(
            tmp_path, http(b"", status="403 Forbidden"), http(b"", status="403 Forbidden")
        )
        assert isinstance(error, UpgradeError)
        assert error.status == 403
        assert len(asked) == 2

    async def test_a_second_answer_that_is_another_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even an upgrade that is granted now, or no answer at all, and neither is waited for long."""
        monkeypatch.setattr(translate, "REQUEST_SECONDS", 0.5)
        granted = http(b"", "Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols")
        for second in (granted, http(b"{}"), http(b"", status="404 Not Found"), b"garbage\r\n\r\n", None):
            answers = [http(b"", status="403 Forbidden"), second]
            started = time.monotonic()
            asked, error = await self._refused(tmp_path, *answers)
            assert type(error) is RefusedError
            assert error.status == 403
            assert len(asked) == 2
            assert time.monotonic() - started < 5

    async def test_other_refusals_are_not_asked_about(self, tmp_path: Path) -> None:
        asked, error = await self._refused(tmp_path, http(b"", status="404 Not Found"))
        assert isinstance(error, RefusedError)
        assert len(asked) == 1

    async def _refused(self, folder: Path, *answers: bytes | None) -> tuple[list[str], ClusterError]:
        """The requests that came for these answers, one each, and what became of them; None is silence."""
        asked: list[str] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said = answers[len(asked)]
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(said or b"")
            if said is None or b" 101 " in said:
                await reader.read()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            file = kubeconfig(folder / "config", {"server": f"http://127.0.0.1:{port}"}, {})
            async with open_client(settings(file)) as kube:
                with pytest.raises(ClusterError) as raised:
                    await by_websocket(kube)
        return asked, raised.value
