"""A small client of NFSv4.0 (RFC 7530), with which tests use a shared volume where the kernel has none.

Each operation is one request. READ and WRITE need no open file: the server accepts the stateid of zeros from a client
that is not registered. Only OPEN registers the client.
"""

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self, TypeVar

GETATTR, GETFH, LOOKUP, PUTFH, PUTROOTFH, READ, WRITE = 9, 10, 15, 22, 24, 25, 38
CREATE, LOCK, OPEN, OPEN_CONFIRM = 6, 12, 18, 20
READDIR, SETATTR, SETCLIENTID, SETCLIENTID_CONFIRM = 26, 34, 35, 36

ACCESS: Final = 13
"""The status of a request that the server does not allow."""

PORT: Final = 2049

ANONYMOUS: Final = bytes(16)
"""The stateid of READ and WRITE without an open file."""

_T = TypeVar("_T")

_TYPE, _MODE, _OWNER = 1, 33, 36
_FILE_SYNC, _DIRECTORY, _WRITE_LOCK, _MUST_CONFIRM, _LAST = 2, 2, 2, 2, 0x8000_0000


class NfsError(Exception):
    """An answer of the server with another status than 0."""

    def __init__(self, status: int) -> None:
        super().__init__(f"NFS status {status}")
        self.status = status


@dataclass(frozen=True)
class Attributes:
    """What a server says of a file."""

    mode: int
    owner: str


@dataclass(frozen=True)
class Opened:
    """An open file, for the numbers that its next operations need."""

    handle: bytes
    stateid: bytes
    clientid: int
    owner: bytes
    sequence: int


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def long(value: int) -> bytes:
    return struct.pack(">Q", value)


def text(value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return number(len(value)) + value + bytes(-len(value) % 4)


def _bitmap(*attributes: int) -> bytes:
    words = [sum(1 << each % 32 for each in attributes if each // 32 == word) for word in range(2)]
    return number(2) + b"".join(map(number, words))


class Answer:
    """The bytes of a reply, read from front to back."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, size: int) -> bytes:
        self._at += size
        return self._content[self._at - size : self._at]

    def number(self) -> int:
        return int(struct.unpack(">I", self.take(4))[0])

    def long(self) -> int:
        return int(struct.unpack(">Q", self.take(8))[0])

    def text(self) -> bytes:
        size = self.number()
        value = self.take(size)
        self.take(-size % 4)
        return value

    def bitmap(self) -> None:
        self.take(4 * self.number())

    def operation(self) -> Self:
        """Begin with the result of the next operation."""
        self.take(4)
        if status := self.number():
            raise NfsError(status)
        return self


class NfsClient:
    """A connection.

    Args:
        address: address of the server.
        uid: user and group that the client claims to have.
        name: name by which the server knows the client after a restart.
    """

    def __init__(self, address: str, *, uid: int = 0, name: str = "test") -> None:
        self._socket = socket.create_connection((address, PORT), timeout=30)
        self._user = text(number(0) + text("") + number(uid) + number(uid) + number(0))
        self._name, self._verifier, self._next = name, os.urandom(8), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def compound(self, *operations: bytes) -> Answer:
        """Send operations in one request, and return the answer behind its header."""
        self._next += 1
        header = b"".join(map(number, (self._next, 0, 2, 100003, 4, 1, 1))) + self._user + number(0) + text("")
        body = header + text("") + number(0) + number(len(operations)) + b"".join(operations)
        self._socket.sendall(number(_LAST | len(body)) + body)
        answer = Answer(self._record())
        answer.take(24)  # xid, type, accepted, verifier, executed
        answer.take(4)  # the status of the last operation, which has it, too
        answer.text()
        answer.number()
        return answer

    def _record(self) -> bytes:
        content, last = b"", 0
        while not last:
            head = int.from_bytes(self._exactly(4))
            last = head & _LAST
            content += self._exactly(head & ~_LAST)
        return content

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            more = self._socket.recv(size - len(content))
            if not more:
                raise ConnectionResetError("the server has closed the connection")
            content += more
        return content

    def _on(self, handle: bytes, operation: bytes, read: Callable[[Answer], _T]) -> _T:
        """Run one operation on a file."""
        answer = self.compound(number(PUTFH) + text(handle), operation).operation()
        return read(answer.operation())

    def look_up(self, *names: str, start: bytes | None = None) -> bytes:
        """The handle of a file, from the root or another folder on."""
        first = number(PUTROOTFH) if start is None else number(PUTFH) + text(start)
        steps = [number(LOOKUP) + text(name) for name in names]
        answer = self.compound(first, *steps, number(GETFH))
        for _ in range(len(names) + 2):
            answer.operation()
        return answer.text()

    def attributes(self, handle: bytes) -> Attributes:
        def read(answer: Answer) -> Attributes:
            answer.bitmap()
            answer.number()
            return Attributes(answer.number(), answer.text().decode())

        return self._on(handle, number(GETATTR) + _bitmap(_MODE, _OWNER), read)

    def names(self, handle: bytes) -> list[str]:
        """The first names in a folder."""

        def read(answer: Answer) -> list[str]:
            answer.take(8)
            found = []
            while answer.number():
                answer.long()
                found.append(answer.text().decode())
                answer.bitmap()
                answer.text()
            return found

        wanted = number(READDIR) + long(0) + bytes(8) + number(8192) + number(32768) + _bitmap(_TYPE)
        return self._on(handle, wanted, read)

    def read(self, handle: bytes, count: int = 65536, stateid: bytes = ANONYMOUS) -> bytes:
        def result(answer: Answer) -> bytes:
            answer.number()
            return answer.text()

        return self._on(handle, number(READ) + stateid + long(0) + number(count), result)

    def write(self, handle: bytes, content: bytes, stateid: bytes = ANONYMOUS) -> int:
        """Write durably at the start of a file; return the number of bytes that the server accepted."""
        operation = number(WRITE) + stateid + long(0) + number(_FILE_SYNC) + text(content)
        return self._on(handle, operation, Answer.number)

    def make_folder(self, parent: bytes, name: str) -> bytes:
        attributes = _bitmap(_MODE) + text(number(0o755))
        self._on(parent, number(CREATE) + number(_DIRECTORY) + text(name) + attributes, lambda _: None)
        return self.look_up(name, start=parent)

    def change_owner(self, handle: bytes, owner: str) -> None:
        self._on(handle, number(SETATTR) + ANONYMOUS + _bitmap(_OWNER) + text(text(owner)), lambda _: None)

    def register(self) -> int:
        """Register the client as after its own restart; return its clientid."""
        callback = number(0x4000_0000) + text("tcp") + text("0.0.0.0.0.0") + number(1)
        answer = self.compound(number(SETCLIENTID) + self._verifier + text(self._name) + callback).operation()
        clientid, confirm = answer.long(), answer.take(8)
        self.compound(number(SETCLIENTID_CONFIRM) + long(clientid) + confirm).operation()
        return clientid

    def create(self, parent: bytes, name: str) -> Opened:
        """Create a file, or open it."""
        how = number(1) + number(0) + _bitmap(_MODE) + text(number(0o644))
        return self._open(parent, how, number(0) + text(name))

    def reclaim(self, handle: bytes) -> Opened:
        """Open a file again that was open when the server restarted."""
        return self._open(handle, number(0), number(1) + number(0))

    def _open(self, handle: bytes, how: bytes, claim: bytes) -> Opened:
        clientid, owner = self.register(), os.urandom(8)
        share = number(0) + number(3) + number(0) + long(clientid) + text(owner)
        answer = self.compound(
            number(PUTFH) + text(handle), number(OPEN) + share + how + claim, number(GETFH)
        ).operation()
        stateid = answer.operation().take(16)
        answer.take(20)  # the change of the folder
        flags = answer.number()
        answer.bitmap()
        answer.number()  # no delegation
        opened = answer.operation().text()
        if flags & _MUST_CONFIRM:
            confirm = number(OPEN_CONFIRM) + stateid + number(1)
            stateid = self._on(opened, confirm, lambda answer: answer.take(16))
        return Opened(opened, stateid, clientid, owner, 2 if flags & _MUST_CONFIRM else 1)

    def lock(self, file: Opened, *, reclaim: bool = False) -> Opened:
        """Lock all of an open file; return it with its next number."""
        owner = number(file.sequence) + file.stateid + number(0) + long(file.clientid) + text(file.owner)
        area = number(_WRITE_LOCK) + number(reclaim) + long(0) + long(2**64 - 1)
        self._on(file.handle, number(LOCK) + area + number(1) + owner, lambda _: None)
        return replace(file, sequence=file.sequence + 1)
