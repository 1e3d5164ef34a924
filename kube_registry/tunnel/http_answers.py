"""Count the responses on one HTTP connection, from the bytes that come back; no I/O.

A refusal may be written only between two responses: anywhere else a client would read it as data. A response whose
end is not clear from its head, such as a chunked one, ends the count: nothing may be written after it.

Source: RFC 9112 (HTTP/1.1), 6.3 (end of a body) and 9.3.2 (responses have the order of their requests).
"""

import re
from collections import deque

ANSWER_HEAD_BYTES = 32 * 1024
"""Maximum bytes of a response's head; the registry's heads are below 1 KiB."""

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_CODING = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_WITHOUT_BODY = (b"204", b"304")


class HttpAnswers:
    """The responses on one connection."""

    def __init__(self) -> None:
        self._to_head = deque[bool]()  # for each request without a response: whether it is a HEAD
        self._body = 0  # bytes of a body that have not arrived yet
        self._held = b""
        self._known = True

    def expect(self, method: bytes) -> None:
        """Note one more request."""
        self._to_head.append(method == b"HEAD")

    @property
    def missing(self) -> int | None:
        """How many requests have no response yet; None within a response, or if unknown."""
        return None if self._body or self._held or not self._known else len(self._to_head)

    def feed(self, data: memoryview) -> None:
        """Read the next bytes that come back."""
        end = 0
        while self._known and end < len(data):
            if self._body:
                passing = min(self._body, len(data) - end)
                self._body -= passing
                end += passing
                continue
            head, found, _ = (self._held + data[end : end + ANSWER_HEAD_BYTES]).partition(b"\r\n\r\n")
            if found:
                end += len(head) + len(found) - len(self._held)
                self._held = b""
                self._known = self._read(head + b"\r\n")
            else:
                self._held, self._known = head, len(head) < ANSWER_HEAD_BYTES
                break

    def _read(self, head: bytes) -> bool:
        """Read a head without its empty line; return whether the end of its response is known."""
        status, lengths = _STATUS.match(head), _LENGTH.findall(head)
        if not status or not self._to_head:
            return False
        if status[1].startswith(b"1"):  # another response follows
            return status[1] != b"101"
        if not self._to_head.popleft() and status[1] not in _WITHOUT_BODY:
            if len(lengths) != 1 or _CODING.search(head):
                return False
            self._body = int(lengths[0])
        return True
