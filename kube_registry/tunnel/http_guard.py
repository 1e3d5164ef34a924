"""Check every HTTP request on one connection before any byte of it is forwarded; no I/O.

The tunnel listens on loopback, where web pages in this machine's browser can reach it too. A page may send a harmless
request first, so every request has to be checked, and the end of each has to be known. Heads are held until they are
complete and checked; bodies are forwarded as they arrive, without a copy.

Source: RFC 9112 (HTTP/1.1), 2.2 (lines) and 7.1 (chunks).
"""

import re

from kube_registry.tunnel.http_answers import HttpAnswers
from kube_registry.tunnel.http_head import CHUNKED, REQUEST_LINE, malformed, read_head

HEAD_BYTES = 32 * 1024
"""Maximum bytes of a request's head. The registry's own limit is 1 MB; its clients' heads are below 4 KiB."""

_SIZE_BYTES = 32
"""More bytes than a chunk's size with its line endings has."""

_END_OF_HEAD = re.compile(rb"\r\n\r\n")
_FIRST_WORD = re.compile(rb"[!-~]{1,20}(?: |\Z)")
_FIRST_LINE, _ANY_LINE = re.compile(REQUEST_LINE), re.compile(rb"[^\n]*\n")
_LONE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")

# Neither extensions nor trailers are allowed: clients of registries send none.
_SIZE = rb"(?:0{1,15}\r\n\r\n|(?!0+\r)([0-9A-Fa-f]{1,15})\r\n)"
_FIRST_CHUNK, _NEXT_CHUNK = re.compile(_SIZE), re.compile(rb"\r\n" + _SIZE)
_PART_OF_SIZE = re.compile(rb"(?:\r\n?)?[0-9A-Fa-f]{0,15}\r?|(?:\r\n)?0{1,15}\r\n\r?")


class HttpGuard:
    """The requests on one connection.

    Args:
        port: the local port of the connection.

    Attributes:
        answers: has to be fed with the bytes that come back.
    """

    def __init__(self, port: int) -> None:
        self.answers = HttpAnswers()
        self._port = port
        self._expected = _END_OF_HEAD
        self._body = 0  # bytes to forward unread
        self._held = b""

    @property
    def may_answer(self) -> bool:
        """Whether a refusal can be written: all earlier requests have their whole response, and this one none."""
        in_body = self._expected is not _END_OF_HEAD  # the head of the refused request was forwarded
        return self.answers.missing == int(in_body)

    def feed(self, piece: memoryview) -> tuple[bytes, int]:
        """Check the next piece of the connection.

        Returns:
            What may be forwarded now: first the held bytes of earlier pieces, if they complete a head or a chunk's
            size; then this piece up to the returned offset. The rest of the piece is held.

        Raises:
            RefusedRequestError: a request is not allowed; nothing of this piece may be forwarded.
        """
        held, end = b"", 0
        if self._held:
            room = HEAD_BYTES if self._expected is _END_OF_HEAD else _SIZE_BYTES
            joined = memoryview(self._held + piece[:room])
            known = self._read(joined, 0, len(self._held))
            if known is None:
                self._held = bytes(joined)
                return b"", 0
            held, end, self._held = self._held, known - len(self._held), b""
        while end < len(piece):
            if self._body:
                passing = min(self._body, len(piece) - end)
                self._body -= passing
                end += passing
                continue
            known = self._read(piece, end, end)
            if known is None:
                self._held = bytes(piece[end:])
                break
            end = known
        return held, end

    def _read(self, data: memoryview, start: int, new: int) -> int | None:
        """Read a head or a chunk's size.

        Args:
            data: the bytes.
            start: offset of the head or size.
            new: offset of the first byte that was not read before.

        Returns:
            The offset of its end; None if it is not complete.
        """
        if self._expected is not _END_OF_HEAD:
            return self._read_size(data, start)
        end = _END_OF_HEAD.search(data, max(start, new - 3), start + HEAD_BYTES)
        if end is None:
            _check_part_of_head(data[start:], new - start)
            return None
        method, length = read_head(bytes(data[start : end.end()]), self._port)
        self.answers.expect(method)
        if length == CHUNKED:
            self._expected = _FIRST_CHUNK
        else:
            self._body = length
        return end.end()

    def _read_size(self, data: memoryview, start: int) -> int | None:
        size = self._expected.match(data, start)
        if size is None:
            if not _PART_OF_SIZE.fullmatch(data, start):
                raise malformed("the body's chunks are not valid HTTP/1.1, or have extensions or trailers")
            return None
        self._body = int(size[1] or b"0", 16)
        self._expected = _NEXT_CHUNK if self._body else _END_OF_HEAD
        return size.end()


def _check_part_of_head(part: memoryview, new: int) -> None:
    """Refuse early what cannot become a head: a client of another protocol would wait for its response."""
    if len(part) >= HEAD_BYTES:
        raise malformed(f"the head of the request is longer than {HEAD_BYTES} bytes")
    another_line = _ANY_LINE.match(part) and not _FIRST_LINE.match(part)
    if another_line or not _FIRST_WORD.match(part) or _LONE_END.search(part, max(0, new - 1)):
        raise malformed("this is not HTTP/1.1")
