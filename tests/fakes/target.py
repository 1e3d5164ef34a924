"""The program at the tunnel's far end, in Python behind the fake API server and in shell on a real cluster.

The path of the request that it is sent chooses what it does. The request's body has no end that is ever reached, so all
that follows the head is the test's own, but for `answer`, which keeps the connection for the next head:

    /v2/               answers 200, as a registry does
    /echo              sends back whatever comes
    /hold/NAME         reads nothing more until NAME is freed, then so many bytes; answers their SHA-256 and ends
    /free/NAME/BYTES   frees NAME to read so many bytes; answers "ok" and ends
    /give/BYTES        sends 100000 to 199999, a line each, over and over, and ends
    /answer/BYTES      answers 200 with so many bytes of the same, in Python only; then the next request
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

SCRIPT = r"""
read -r method path version
while read -r header && [ ${#header} -gt 1 ]; do :; done
IFS=/ read -r root what name size <<END
$path
END
case "$what" in
v2)
    printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}'
    ;;
echo) cat ;;
hold)
    until [ -s "/tmp/$name" ]; do sleep 0.05; done
    head -c "$(cat "/tmp/$name")" | sha256sum | cut -c 1-64
    ;;
free)
    echo "$size" >"/tmp/$name"
    echo ok
    ;;
give)
    seq 100000 199999 >"/tmp/$$"
    while cat "/tmp/$$"; do :; done | head -c "$name"
    ;;
esac
"""
"""For `nc -ll -e sh -c`: standard input and output are the connection."""


_NUMBERS = b"".join(b"%d\n" % number for number in range(100_000, 200_000))


def given(size: int) -> bytes:
    """What `give` sends."""
    return (_NUMBERS * (size // len(_NUMBERS) + 1))[:size]


def answer(data: bytes) -> bytes:
    """What `hold` answers to these bytes."""
    return hashlib.sha256(data).hexdigest().encode() + b"\n"


@dataclass
class Target:
    """The Python one.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    port: int
    _freed: defaultdict[str, asyncio.Future[int]] = field(default_factory=lambda: defaultdict(asyncio.Future))
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def kill(self) -> None:
        """End its connections as a killed program's end."""
        killed = list(self._serving)
        for task in killed:
            task.cancel()
        await asyncio.gather(*killed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._behave(reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()
        self._serving.remove(task)

    async def _behave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        match head.split()[1].decode().strip("/").split("/"):
            case ["v2"]:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            case ["echo"]:
                while data := await reader.read(64 * 1024):
                    writer.write(data)
                    await writer.drain()
            case ["hold", name]:
                writer.write(answer(await reader.readexactly(await self._freed[name])))
            case ["free", name, size]:
                self._freed[name].set_result(int(size))
                writer.write(b"ok\n")
            case ["give", size]:
                for start in range(0, int(size), len(_NUMBERS)):
                    writer.write(_NUMBERS[: int(size) - start])
                    await writer.drain()
            case ["answer", size]:
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
                if not head.startswith(b"HEAD "):
                    writer.write(given(int(size)))
                await writer.drain()
                await self._behave(reader, writer)


@asynccontextmanager
async def run_target() -> AsyncIterator[Target]:
    """A running one, ended with its connections at the end."""
    target = Target(0)
    async with await asyncio.start_server(target.serve, "127.0.0.1", 0) as server:
        target.port = server.sockets[0].getsockname()[1]
        yield target
        await target.kill()
