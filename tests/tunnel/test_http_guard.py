"""Which requests pass the tunnel's guard, however they are cut into pieces."""

import io
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from itertools import pairwise, product, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_registry.tunnel.http_guard import HEAD_BYTES, HttpGuard
from kube_registry.tunnel.http_head import RefusedRequestError

PORT = 20001
HOST = f"Host: localhost:{PORT}"


def request(*fields: str, line: str = "GET /v2/ HTTP/1.1", body: bytes = b"") -> bytes:
    return "".join(f"{each}\r\n" for each in (line, *fields, "")).encode("latin-1") + body


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def passes(pieces: Sequence[bytes], port: int = PORT) -> tuple[bytes, HTTPStatus | None]:
    """All bytes that pass, and the status that ended it."""
    guard, passed = HttpGuard(port), b""
    for piece in pieces:
        try:
            held, end = guard.feed(memoryview(bytearray(piece)))
        except RefusedRequestError as refused:
            return passed, refused.status
        passed += held + piece[:end]
    return passed, None


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]


GOOD = {
    "curl": request(HOST, "User-Agent: curl/7.88.1", "Accept: */*"),
    "127.0.0.1": request(f"Host: 127.0.0.1:{PORT}"),
    "IPv6": request(f"host:[::1]:{PORT}"),
    "a typed address": request(HOST, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
    "HTTP/1.0 without a host": request(line="GET /v2/ HTTP/1.0"),
    "an empty body": request(HOST, "Content-Length: 0", line="POST /v2/a/blobs/uploads/ HTTP/1.1"),
    "a body by its length": request(
        HOST, "Expect: 100-continue", "Content-Length: 5", line="PUT /x?a=b HTTP/1.1", body=b"GET /"
    ),
    "a body in chunks": request(
        HOST, "Transfer-Encoding: chunked", line="PATCH /x HTTP/1.1", body=chunks(b"\r\n\r\n", b"x" * 300, b"POST")
    ),
    "chunks without a byte": request(HOST, "Transfer-Encoding: Chunked", line="PUT /x HTTP/1.1", body=chunks()),
    "an absolute target": request(HOST, line=f"GET http://LOCALHOST:{PORT}/v2/ HTTP/1.1"),
    "HEAD": request(HOST, line="HEAD /v2/a/manifests/b HTTP/1.1"),
    "bytes beyond ASCII": request(HOST, "User-Agent: \xe4\t\xff"),
}

FORBIDDEN = {
    "another host": request("Host: evil.example"),
    "another host with our port": request(f"Host: evil.example:{PORT}"),
    "another port": request(f"Host: localhost:{PORT + 1}"),
    "no port": request("Host: localhost"),
    "an empty host": request("Host:"),
    "a longer host": request(f"Host: localhost:{PORT}.evil.example"),
    "a host with a user": request(f"Host: localhost:{PORT}@evil.example"),
    "another host in HTTP/1.0": request("Host: evil.example", line="GET / HTTP/1.0"),
    "an absolute target elsewhere": request(HOST, line="GET http://evil.example/v2/ HTTP/1.1"),
    "an absolute target without a host": request(HOST, line="GET http:///v2/ HTTP/1.1"),
    "an absolute target, another host": request("Host: evil.example", line=f"GET http://localhost:{PORT}/v2/ HTTP/1.1"),
    "an origin": request(HOST, "Origin: http://evil.example"),
    "our own origin": request(HOST, f"Origin: http://localhost:{PORT}"),
    "an opaque origin": request(HOST, "oRiGiN:null", line="DELETE /v2/a/manifests/b HTTP/1.1"),
    "an empty origin": request(HOST, "Origin:"),
    **{
        f"a page of {site}": request(HOST, f"Sec-Fetch-Site: {site}")
        for site in ("cross-site", "same-site", "same-origin")
    },
    "two kinds of page": request(HOST, "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
    "an upgrade": request(HOST, "Connection: Upgrade", "Upgrade: h2c"),
    "a tunnel": request(HOST, line="CONNECT /v2/ HTTP/1.1"),
}

MALFORMED = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a line": b"echo\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /v2/\r\n",
    "no end of a word": b"x" * 100,
    "an empty line first": b"\r\n" + GOOD["curl"],
    "a target that is no path": request(HOST, line="GET v2/ HTTP/1.1"),
    "another scheme": request(HOST, line="GET https://localhost/ HTTP/1.1"),
    "two spaces": request(HOST, line="GET  /v2/ HTTP/1.1"),
    "no host": request("Accept: */*"),
    "two hosts": request(HOST, "Host: evil.example"),
    "the same host twice": request(HOST, HOST),
    "a folded header": request(HOST, "Accept: a", " Origin: b"),
    "a folded host": request("Host:", f" localhost:{PORT}"),
    "a space before the colon": request(HOST, "Origin : http://evil.example"),
    "no name": request(HOST, ": x"),
    "no colon": request(HOST, "Origin"),
    "a NUL": request(HOST, "Accept: \x00"),
    "a line end alone": GOOD["curl"].replace(b"\r\nAccept", b"\nAccept"),
    "line ends alone": GOOD["curl"].replace(b"\r\n", b"\n"),
    "a carriage return alone": request(HOST, "Accept: a\rOrigin: b"),
    "two lengths": request(HOST, "Content-Length: 5", "Content-Length: 6"),
    "one length twice": request(HOST, "Content-Length: 5", "Content-Length: 5"),
    "a list of lengths": request(HOST, "Content-Length: 5, 5"),
    "a signed length": request(HOST, "Content-Length: +5"),
    "a hexadecimal length": request(HOST, "Content-Length: 0x5"),
    "an empty length": request(HOST, "Content-Length:"),
    "a length beyond 64 bits": request(HOST, "Content-Length: 18446744073709551617"),
    "length and chunks": request(HOST, "Content-Length: 5", "Transfer-Encoding: chunked"),
    "two codings": request(HOST, "Transfer-Encoding: gzip, chunked"),
    "chunked twice": request(HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "another coding": request(HOST, "Transfer-Encoding: identity"),
    "almost chunked": request(HOST, "Transfer-Encoding: \x0bchunked"),
    "chunks in HTTP/1.0": request("Transfer-Encoding: chunked", line="PUT / HTTP/1.0"),
    "a head without end": request(HOST, "Accept: " + "a" * HEAD_BYTES),
    **{
        f"chunks: {body!r}": request(HOST, "Transfer-Encoding: chunked", body=body)
        for body in (
            b"5;a=b\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"\r\n5\r\n",
            b"-5\r\n",
            b"0x5\r\n",
            b" 5\r\n",
            b"1" * 16,
            b"0\r\nOrigin: x\r\n\r\n",
        )
    },
}

BAD = {
    **{name: (data, HTTPStatus.FORBIDDEN) for name, data in FORBIDDEN.items()},
    **{name: (data, HTTPStatus.BAD_REQUEST) for name, data in MALFORMED.items()},
}

PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@pytest.mark.parametrize("name", GOOD)
def test_what_clients_of_registries_send_passes(name: str) -> None:
    assert passes([GOOD[name]]) == (GOOD[name], None)


@pytest.mark.parametrize("name", BAD)
def test_what_may_come_from_a_page_or_is_not_http_is_refused(name: str) -> None:
    data, status = BAD[name]
    passed, refused = passes([data])
    assert (passed, refused) == (b"", status)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("before", ["curl", "a body by its length", "a body in chunks"])
def test_the_second_request_of_a_connection_is_looked_at_too(before: str, name: str) -> None:
    data, status = BAD[name]
    assert passes([GOOD[before], data]) == (GOOD[before], status)


@pytest.mark.parametrize("name", BAD)
def test_byte_for_byte_no_byte_of_a_refused_head_passes(name: str) -> None:
    data, status = BAD[name]
    passed, refused = passes(cut(GOOD["curl"] + data, range(10**5)))
    head = data.partition(b"\r\n\r\n")[0]
    assert refused == status
    assert passed == GOOD["curl"] or (b"chunked" in head and (GOOD["curl"] + data).startswith(passed))


@given(st.lists(st.sampled_from(sorted(GOOD.values())), min_size=1, max_size=5), PLACES)
def test_requests_one_after_another_pass_however_they_are_cut(requests: Sequence[bytes], places: Sequence[int]) -> None:
    data = b"".join(requests)
    assert passes(cut(data, places)) == (data, None)


@given(
    st.lists(st.sampled_from(sorted(GOOD.values())), max_size=4), st.sampled_from(sorted(FORBIDDEN.values())), PLACES
)
def test_what_is_behind_a_refused_request_never_passes(
    requests: Sequence[bytes], refused: bytes, places: Sequence[int]
) -> None:
    good = b"".join(requests)
    passed, status = passes(cut(good + refused + GOOD["curl"], places))
    assert good.startswith(passed)
    assert status == HTTPStatus.FORBIDDEN


@given(st.binary(max_size=300), st.integers(1, 9), PLACES)
def test_a_body_passes_as_it_comes(body: bytes, parts: int, places: Sequence[int]) -> None:
    step = len(body) // parts + 1
    data = request(
        HOST, "Transfer-Encoding: chunked", body=chunks(*(body[at : at + step] for at in range(0, len(body), step)))
    )
    assert passes(cut(data, places)) == (data, None)
    data = request(HOST, f"Content-Length: {len(body)}", body=body)
    for upto in range(data.index(b"\r\n\r\n") + 4, len(data)):
        assert passes(cut(data[:upto], places)) == (data[:upto], None)


ODD_FIELDS = [
    *("Content-Length: 5", "Content-Length: 0", "Content-Length: 40", "Content-Length : 5", "Content-Length: 0, 5"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: x, chunked", "Transfer-Encoding : chunked", " chunked"),
    *(
        "Accept: a\nContent-Length: 40",
        "Accept: a\rContent-Length: 40",
        "Expect: 100-continue",
        "Host:",
        "Connection: close",
    ),
]
ODD_BODIES = [
    *(b"", b"hello", b"0\r\n\r\n", b"0\r\n", b"\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5;a\r\nhello\r\n0\r\n\r\n"),
    *(b"5\r\nhello0\r\n\r\n", b"0a\r\nhellohello\r\n0\r\nA: b\r\n\r\n", b"5\nhello\n0\n\n", b"x" * 40),
]


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "PUT /x HTTP/1.0"])
def test_a_reader_that_accepts_much_finds_no_request_of_a_page_in_what_passes(line: str) -> None:
    """Whatever the registry accepts beyond the standard, it sees no request that the guard has not seen."""
    for first, second, body in product(("Accept: a", *ODD_FIELDS), ("Accept: a", *ODD_FIELDS), ODD_BODIES):
        data = request(HOST, first, second, line=line, body=body) + FORBIDDEN["another host"]
        passed, _ = passes(cut(data, range(0, len(data), 3)))
        assert not any(b"Host: evil" in head for head in read_leniently(passed)), data


def read_leniently(data: bytes) -> Iterator[bytes]:
    """The heads of requests, with lone line ends, several lengths, chunks beside lengths, extensions and trailers."""
    with io.BytesIO(data) as stream:
        while head := b"".join(takewhile(lambda line: line not in (b"\r\n", b"\n"), stream)):
            yield head
            lengths = re.findall(rb"(?im)^content-length *:\D*(?:\d+, *)?(\d+)", head)
            if re.search(rb"(?im)^transfer-encoding *:.*chunked", head):
                while size := re.match(rb"(?i)\s*0*([1-9a-f][0-9a-f]*)", stream.readline()):
                    stream.seek(int(size[1], 16), io.SEEK_CUR)
                    stream.readline()
                while stream.readline().strip():
                    pass
            elif lengths:
                stream.seek(int(lengths[-1]), io.SEEK_CUR)


def test_that_reader_finds_every_request_that_the_guard_does() -> None:
    assert len(list(read_leniently(b"".join(GOOD.values())))) == len(GOOD)
    assert passes([*GOOD.values()]) == (b"".join(GOOD.values()), None)


@pytest.mark.parametrize(("host", "passed"), [("localhost", True), ("localhost:80", True), ("evil.example", False)])
def test_clients_leave_out_port_80(host: str, passed: bool) -> None:  # noqa: FBT001
    data = request(f"Host: {host}")
    assert (passes([data], port=80)[1] is None) == passed


def test_a_refusal_is_an_answer_that_clients_of_registries_can_read() -> None:
    with pytest.raises(RefusedRequestError) as raised:
        HttpGuard(PORT).feed(memoryview(FORBIDDEN["no port"]))
    head, _, body = raised.value.answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    assert f"http://localhost:{PORT}".encode() in body
