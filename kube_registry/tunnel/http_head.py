"""Check the head of one HTTP request: whether a web page sent it, and where its body ends; pure functions.

A web page cannot set the headers Host, Origin and Sec-Fetch-Site (Fetch, "forbidden request-header"), so they identify
requests from a page. Requests that the registry might parse differently are refused (RFC 9112, 11.2).

Source: RFC 9112 (HTTP/1.1), 3.2 (target and Host), 5 (fields), 6.3 (end of a body).
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from kube_registry.text import add_fix

CHUNKED = -1
"""Stands for the length of a chunked body."""

HTTP_PORT = 80
"""The port that clients omit in Host."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
REQUEST_LINE = rb"(%b{1,20}) ([\x21-\x7e]+) HTTP/(1\.[01])\r\n" % _TOKEN
_FIELD = rb"%b+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n" % _TOKEN
_HEAD = re.compile(rb"%b((?:%b)*)\r\n" % (REQUEST_LINE, _FIELD))
_TARGET = re.compile(rb"(?:http://([^/?#]*))?(?![^/?])", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CODES = {HTTPStatus.BAD_REQUEST: "UNSUPPORTED", HTTPStatus.FORBIDDEN: "DENIED"}

Fields = Mapping[bytes, Sequence[bytes]]
"""Name of each header in lower case -> its values."""


class RefusedRequestError(Exception):
    """A request is not allowed; its connection ends.

    Args:
        status: 400 for a request that is not HTTP/1.1 or is ambiguous, 403 for one that a web page may have sent.
        reason: the reason, for the client.

    Attributes:
        to_head: whether the request is a HEAD, whose response has no body.
    """

    to_head = False

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def answer(self) -> bytes:
        """The response, with the error in the format of registries (OCI distribution specification 1.1, "Errors")."""
        body = json.dumps({"errors": [{"code": _CODES[self.status], "message": str(self)}]}).encode()
        lines = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + (b"" if self.to_head else body)


def read_head(head: bytes, port: int) -> tuple[bytes, int]:
    """Check a complete head.

    Args:
        head: from the request line to the empty line.
        port: the local port of the connection.

    Returns:
        The method, and the body's length in bytes or CHUNKED.

    Raises:
        RefusedRequestError: the request is not allowed.
    """
    match = _HEAD.fullmatch(head)
    if not match:
        raise malformed("the head of the request is not valid HTTP/1.1")
    method, target, version, lines = match.groups()
    fields: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        fields[name.lower()].append(value.strip(b" \t"))
    try:
        _check_sender(fields)
        _check_hosts(target, fields[b"host"], version, port)
        _check_protocol(method, fields)
        return method, _body(fields, version)
    except RefusedRequestError as refused:
        refused.to_head = method == b"HEAD"
        raise


def malformed(reason: str) -> RefusedRequestError:
    """Return the error for a request that is not HTTP/1.1, or is ambiguous."""
    return RefusedRequestError(HTTPStatus.BAD_REQUEST, reason)


def _check_sender(fields: Fields) -> None:
    if b"origin" in fields or any(site.lower() != b"none" for site in fields.get(b"sec-fetch-site", ())):
        raise RefusedRequestError(
            HTTPStatus.FORBIDDEN, "requests from web pages, with Origin or Sec-Fetch-Site, are not allowed here"
        )


def _check_protocol(method: bytes, fields: Fields) -> None:
    if method == b"CONNECT" or b"upgrade" in fields:
        raise RefusedRequestError(HTTPStatus.FORBIDDEN, "a change of protocol is not allowed here")


def _check_hosts(target: bytes, hosts: Sequence[bytes], version: bytes, port: int) -> None:
    """Check the host in the headers, and in the target, which the registry would prefer."""
    absolute = _TARGET.match(target)
    if not absolute:
        raise malformed("the target of the request is neither a path nor an http:// URL")
    if len(hosts) > 1 or (not hosts and version != b"1.0"):
        raise malformed("the request has no Host, or more than one")
    given = [*hosts, *([] if absolute[1] is None else [absolute[1]])]
    names = (b"localhost", b"127.0.0.1", b"[::1]")
    allowed = {b"%b:%d" % (name, port) for name in names} | (set(names) if port == HTTP_PORT else set())
    if any(host.lower() not in allowed for host in given):
        raise RefusedRequestError(
            HTTPStatus.FORBIDDEN,
            add_fix(f"Host is not localhost, 127.0.0.1 or [::1] with port {port}", f"use http://localhost:{port}"),
        )


def _body(fields: Fields, version: bytes) -> int:
    lengths, codings = fields.get(b"content-length", ()), fields.get(b"transfer-encoding", ())
    if not codings and not lengths:
        return 0
    if not codings and len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]):
        return int(lengths[0])
    if not lengths and version == b"1.1" and [coding.lower() for coding in codings] == [b"chunked"]:
        return CHUNKED
    raise malformed("the end of the request's body is not clear from Content-Length and Transfer-Encoding")
