"""What passes the tunnel's guard, read by the registry's own program: it sees the requests that the guard has seen.

Streams of requests, as a browser, a client or an attacker may send them, are cut anywhere and fed to the guard. What
passes goes to a registry (Go's net/http) over one connection, and its answers show which requests it has read.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube_registry.tunnel.http_guard import HEAD_BYTES, HttpGuard
from kube_registry.tunnel.http_head import RefusedRequestError
from tests.fakes.open_registry import open_registry

PORT, EVIL = b"#####", b"evil"
"""Stands for the registry's port, which has five digits; marks what may never be read as a request."""

_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a registry that keeps what it gets in memory."""
    with open_registry(tmp_path_factory.mktemp("registry")) as port:
        yield port


def passes(stream: bytes, places: Sequence[int], port: int) -> tuple[bytes, bool]:
    """What passes of a stream that is cut at these places, and whether the guard has refused the rest."""
    guard, passed = HttpGuard(port), b""
    bounds = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    for start, end in pairwise(bounds):
        piece = stream[start:end]
        try:
            held, upto = guard.feed(memoryview(bytearray(piece)))
        except RefusedRequestError:
            return passed, True
        passed += held + piece[:upto]
    return passed, False


def answers(stream: bytes, port: int) -> bytes:
    """All that a registry answers to a stream."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        said = b""
        try:
            connection.sendall(stream)
            with suppress(OSError):  # the registry has ended the connection
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(1 << 16):
                said += more
        except ConnectionError:
            pass  # it has ended before it has read all
        return said


def head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((line, *fields, b"", b""))


HOST = b"Host: localhost:" + PORT
GET = b"GET /v2/app/manifests/tag HTTP/1.1"
PUT = b"PUT /v2/app/manifests/tag HTTP/1.1"
ASKED = b"GET /v2/evil/manifests/evil HTTP/1.1"
PAGES = [
    head(ASKED, b"Host: evil.example"),
    head(ASKED, b"Host: evil.example:" + PORT),
    head(ASKED, HOST, b"Origin: http://evil.example"),
    head(ASKED, HOST, b"Sec-Fetch-Site: cross-site"),
    head(ASKED.replace(b"GET /", b"GET http://evil.example/"), HOST),
    head(b"POST /v2/evil/blobs/uploads/?digest=evil HTTP/1.1", HOST, b"Origin: null", b"Content-Length: 0"),
]
"""What a page may send."""

_bodies = st.one_of(
    st.binary(max_size=40), st.sampled_from([*PAGES, b"0\r\n\r\n", b"\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])
)


def _chunked(parts: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*filter(None, parts), b""))


_gets = st.sampled_from(
    [
        head(GET, HOST),
        head(GET, HOST, b"User-Agent: a\tb \xff", b"Accept: */*"),
        head(GET.replace(b"GET /", b"GET http://127.0.0.1:" + PORT + b"/"), HOST),
        head(GET.replace(b"GET", b"HEAD"), b"hOST:\t[::1]:" + PORT + b" "),
        head(GET, HOST, b"Sec-Fetch-Site: none"),
        head(GET, HOST, b"Content-Length: 0"),
        head(GET, HOST, b"X-Long: " + b"x" * (HEAD_BYTES - 200)),
    ]
)
_measured = _bodies.map(lambda body: head(PUT, HOST, b"Content-Length: %d" % len(body)) + body)
_awaited = _bodies.map(lambda body: head(PUT, HOST, b"Expect: 100-continue", b"Content-Length: %d" % len(body)) + body)
_in_chunks = st.lists(_bodies, max_size=4).map(
    lambda parts: head(PUT, HOST, b"Transfer-Encoding: chunked") + _chunked(parts)
)
_good = st.one_of(_gets, _measured, _awaited, _in_chunks)

_oddities = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\x00",
            b" ",
            b"\t",
            b":",
            b";",
            b",",
            b"\x0b",
            b"\x85",
            b"0",
            b"1",
            b"f",
            b"+",
            b"-",
            b"\r\n",
        ),
        *(
            b"\r\n ",
            b"\r\n\t",
            b"\n\n",
            b"\r\r\n",
            b"\r\n\r\n",
            b";a=b",
            b"0x",
            b"\r\n0\r\n\r\n",
            b"\r\n:",
            b" HTTP/1.1",
        ),
        *(b"\r\nContent-Length: 5", b"\r\nContent-Length: 0", b"\r\nContent-Length: 99", b"\r\nContent-Length: 1, 1"),
        *(b"\r\nTransfer-Encoding: chunked", b"\r\nTransfer-Encoding: identity", b"\r\nTransfer-Encoding:\x0bchunked"),
        *(b"\r\nTransfer-Encoding: gzip, chunked", b"\r\nTransfer-Encoding : chunked", b"\nTransfer-Encoding: chunked"),
        *(
            b"\r\nHost: evil.example",
            b"\r\nHost:",
            b"\r\nHost : evil.example",
            b"\r\nUpgrade: h2c",
            b"\r\nConnection: close",
        ),
        *(
            b"\r\nConnection: Content-Length",
            b"\r\nTrailer: Host",
            b"\r\nExpect: 100-continue",
            b"0\r\nHost: evil\r\n\r\n",
        ),
        *PAGES,
    ]
)
_LENGTH, _CODING = b"Content-Length: LENGTH", b"Transfer-Encoding: chunked"
_lengths = st.sampled_from(
    [
        *(_LENGTH, _LENGTH, _LENGTH, b"Content-Length: 0", b"Content-Length: +5", b"Content-Length:"),
        *(
            b"Content-Length : 5",
            b"Content-Length: LENGTH, LENGTH",
            b"content-length:LENGTH",
            b"Content-Length: 0LENGTH",
        ),
    ]
)
_codings = st.sampled_from(
    [
        *(_CODING, _CODING, _CODING, b"transfer-encoding:Chunked", b"Transfer-Encoding: gzip, chunked"),
        *(b"Transfer-Encoding: identity", b"Transfer-Encoding:", b"Transfer-Encoding: chunked, identity"),
        *(b"Transfer-Encoding : chunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked;q=1"),
        *(
            b"X: a\nTransfer-Encoding: chunked",
            b"X: a\rTransfer-Encoding: chunked",
            b"X:\r\n Transfer-Encoding: chunked",
        ),
    ]
)
_others = st.sampled_from(
    [b"Expect: 100-continue", b"Trailer: Host", b"Connection: close", b"X: \x00", b"Upgrade: h2c"]
)
_lines = st.sampled_from([PUT, PUT, PUT, PUT.replace(b"1.1", b"1.0"), GET, PUT.replace(b" HTTP", b"  HTTP"), PUT[:-9]])
_ends = st.sampled_from(
    [
        *(b"0\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"0;a\r\n\r\n"),
        *(
            b"0\r\nHost: b\r\n\r\n",
            b"0\n\n",
            b"5\nhello\n0\n\n",
            b"05\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n00\r\n\r\n",
        ),
        *(b"5\r\nhello0\r\n\r\n", b"10000000000000000\r\n", b"-1\r\n", b"hello", b""),
    ]
)


@st.composite
def _framed(draw: st.DrawFn) -> bytes:
    """A request whose body may end at one place for one reader and at another for the next, and a page's in it."""
    end = draw(_ends)
    body = end + draw(st.sampled_from(PAGES))
    length = draw(st.sampled_from([len(body), len(body), len(end), 5, 0]))
    fields = [draw(each) for each in draw(st.permutations([_lengths, _codings, _others]))[: draw(st.integers(0, 3))]]
    return head(draw(_lines), HOST, *(each.replace(b"LENGTH", b"%d" % length) for each in fields)) + body


_places = st.lists(st.integers(0, 2_000), max_size=8)
_streams = st.lists(_good, min_size=1, max_size=5)


def _at(stream: bytes, port: int) -> bytes:
    return stream.replace(PORT, b"%d" % port)


EXAMPLES = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)


@EXAMPLES
@given(_streams, _places)
def test_the_registry_reads_each_request_of_a_client_however_they_are_cut(
    registry: int, requests: Sequence[bytes], places: Sequence[int]
) -> None:
    stream = _at(b"".join(requests), registry)
    assert passes(stream, places, registry) == (stream, False)
    said = answers(stream, registry)
    read = [status for status in _ANSWER.findall(said) if not status.startswith(b"1")]
    assert len(read) == len(requests)


@EXAMPLES
@given(
    st.lists(st.one_of(_good, _framed()), min_size=1, max_size=4),
    st.sampled_from(PAGES),
    st.lists(st.tuples(st.integers(0, 2_000), _oddities), max_size=2),
    _places,
)
def test_the_registry_reads_no_request_of_a_page_whatever_is_around_it(
    registry: int, requests: Sequence[bytes], page: bytes, odd: Sequence[tuple[int, bytes]], places: Sequence[int]
) -> None:
    stream = b"".join(requests)
    for place, what in odd:
        at = place % (len(stream) + 1)
        stream = stream[:at] + what + stream[at:]
    passed, _ = passes(_at(stream + page, registry), places, registry)
    assert EVIL not in answers(passed, registry)


@EXAMPLES
@given(st.lists(_gets, max_size=1), _framed(), _places)
def test_the_registry_reads_no_request_of_a_page_in_a_body(
    registry: int, before: Sequence[bytes], framed: bytes, places: Sequence[int]
) -> None:
    passed, _ = passes(_at(b"".join(before) + framed, registry), places, registry)
    assert EVIL not in answers(passed, registry)


def test_what_marks_a_page_shows_in_the_registrys_answer(registry: int) -> None:
    """Else the test above would show nothing: sent without the guard, each page's request is answered."""
    for page in PAGES:
        assert EVIL in answers(_at(page, registry), registry)
