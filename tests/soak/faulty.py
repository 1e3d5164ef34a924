"""A proxy before a cluster's API server: our own client's requests meet faults, those of all others pass untouched.

Every connection of ours carries one request, because the proxy has the API server close it after the answer: so the
end of an answer is the end of the connection. A WebSocket's bytes pass as they are.
"""

import asyncio
import json
import math
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

from kube_registry.names import USER_AGENT
from kube_registry.tunnel.local_end import reset
from lab import pki
from lab.spec import ClusterSpec
from tests.fakes.connecting import server_tls

ODDS = 0.1
"""How often a request of ours that passes would be drawn for a fault."""

MOST_IN_A_ROW = 3
"""How often the same request meets a fault that was drawn for it; then it passes. A hiccup passes by itself."""

BUSY_SECONDS = 2.0
"""The longest that the API server is busy: whoever asks earlier than its Retry-After says is refused again."""

CUT_ODDS = 0.2
"""How often a WebSocket is reset after some of a push has gone through it."""

CUT_BYTES = (500_000, 4_000_000)
"""After how much: more than any small request of ours, less than the layer of an update."""

_PIECE = 64 * 1024


class Fault(StrEnum):
    """What becomes of a request, as the summary names it."""

    BUSY = "429"
    UNAVAILABLE = "503"
    RESET = "resets before the request"
    LOST = "resets instead of the answer"
    HALF = "resets during the answer"
    CUT = "resets of an open WebSocket"


_REFUSALS = {Fault.BUSY: HTTPStatus.TOO_MANY_REQUESTS, Fault.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE}
_DRAWN = (Fault.BUSY, Fault.UNAVAILABLE, Fault.RESET, Fault.LOST, Fault.HALF)


@dataclass
class Faults:
    """Decides what becomes of each request, and counts it.

    Args:
        dice: what decides.
        ours: requests of our client, those of others, and the faults.
    """

    dice: random.Random
    ours: int = 0
    others: int = 0
    met: Counter[Fault] = field(default_factory=Counter)
    _in_a_row: Counter[str] = field(default_factory=Counter)
    _busy: tuple[Fault, float] = (Fault.BUSY, 0.0)

    def next(self, request: str) -> Fault | None:
        """Return what becomes of a request of ours; None if it passes."""
        self.ours += 1
        fault, busy_until = self._busy
        if time.monotonic() >= busy_until:
            drawn = self._in_a_row[request] < MOST_IN_A_ROW and self.dice.random() < ODDS
            self._in_a_row[request] = self._in_a_row[request] + 1 if drawn else 0
            if not drawn:
                return None
            fault = self.dice.choice(_DRAWN)
            if fault in _REFUSALS:
                self._busy = fault, time.monotonic() + self.dice.uniform(0, BUSY_SECONDS)
        self.met[fault] += 1
        return fault

    @property
    def retry_after(self) -> int:
        """Whole seconds until the API server is busy no more."""
        return max(1, math.ceil(self._busy[1] - time.monotonic()))

    def next_cut(self) -> int | None:
        """After how many bytes to the pod a WebSocket is reset; None if it is not."""
        return self.dice.randint(*CUT_BYTES) if self.dice.random() < CUT_ODDS else None


@dataclass(frozen=True)
class FaultyServer:
    """The proxy.

    Args:
        kubeconfig: leads there, with the name of the cluster's own kube context.
        faults: what requests meet.
    """

    kubeconfig: Path
    faults: Faults


@asynccontextmanager
async def faulty_api_server(spec: ClusterSpec, seed: int, folder: Path) -> AsyncIterator[FaultyServer]:
    """Run one on loopback.

    Args:
        spec: the cluster.
        seed: decides which requests meet which faults.
        folder: gets the kubeconfig and the proxy's own credentials.
    """
    authority = pki.found(spec.pki)
    identity = pki.issue(authority, "faulty", groups=["system:masters"])
    kubeconfig, credentials = folder / "kubeconfig.json", folder / "faulty.pem"
    pki.write_secret(credentials, identity.certificate + identity.key)
    tls = ssl.create_default_context(cafile=str(authority.certificate))
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    tls.load_cert_chain(credentials)
    host, _, port = spec.server.removeprefix("https://").partition(":")
    faults = Faults(random.Random(f"{seed} faults"))  # noqa: S311 - nothing is kept secret with it

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                far_reader, far_writer = await asyncio.open_connection(host, int(port), ssl=tls)
                try:
                    await _Exchange(faults, head, reader, writer, far_reader, far_writer).carry()
                finally:
                    far_writer.close()
            finally:
                writer.close()

    serving = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls(authority, ("127.0.0.1",)))
    server = f"https://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
    pki.write_secret(kubeconfig, pki.kubeconfig(authority, identity, server=server, kube_context=spec.kube_context))
    async with serving:
        yield FaultyServer(kubeconfig, faults)


@dataclass(frozen=True)
class _Exchange:
    """One connection to the proxy, the head of its first request, and the connection to the API server."""

    faults: Faults
    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    far_reader: asyncio.StreamReader
    far_writer: asyncio.StreamWriter

    async def carry(self) -> None:
        if self._field("user-agent").startswith(f"{USER_AGENT.partition('/')[0]}/"):
            await self._carry_ours()
        else:
            self.faults.others += 1
            self.far_writer.write(self.head)
            await self._both_ways()

    async def _carry_ours(self) -> None:
        method, target, _ = self.head.decode().split(" ", 2)
        fault = self.faults.next(f"{method} {target.partition('?')[0]}")
        body = await self.reader.readexactly(int(self._field("content-length") or 0))
        if fault in _REFUSALS:
            await self._refuse(_REFUSALS[fault])
            return
        if fault is Fault.RESET:
            self._reset()
            return
        upgrades = bool(self._field("upgrade"))
        self.far_writer.write((self.head if upgrades else self.head[:-2] + b"Connection: close\r\n\r\n") + body)
        if fault:
            answer = await (self.far_reader.readuntil(b"\r\n\r\n") if upgrades else self.far_reader.read())
            if fault is Fault.HALF:
                self.writer.write(answer[: len(answer) // 2])
                await self.writer.drain()
            self._reset()
            return
        await self._both_ways(self.faults.next_cut() if upgrades else None)

    async def _refuse(self, status: HTTPStatus) -> None:
        body = json.dumps({"kind": "Status", "message": "the API server has a hiccup", "code": status}).encode()
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Retry-After: {self.faults.retry_after}",
            f"Content-Length: {len(body)}",
            "Content-Type: application/json",
            "Connection: close",
        )
        self.writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode() + body)
        await self.writer.drain()

    async def _both_ways(self, cut: int | None = None) -> None:
        """Pass on until either side ends, or so many bytes have gone to the API server."""
        up = asyncio.ensure_future(_pass_on(self.reader, self.far_writer, cut))
        down = asyncio.ensure_future(_pass_on(self.far_reader, self.writer))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not up.exception() and up.result():
                self.faults.met[Fault.CUT] += 1
                self._reset()
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    def _reset(self) -> None:
        transport = self.writer.transport
        assert isinstance(transport, asyncio.Transport)
        reset(transport)

    def _field(self, name: str) -> str:
        found = re.search(rb"^%b:[ \t]*([^\r]*)" % name.encode(), self.head, re.MULTILINE | re.IGNORECASE)
        return found[1].decode() if found else ""


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None = None) -> bool:
    """Pass bytes on until their end, or until there were so many; whether the latter."""
    passed = 0
    while data := await reader.read(_PIECE):
        passed += len(data)
        if most is not None and passed > most:
            return True
        writer.write(data)
        await writer.drain()
    return False
