"""A process in the registry's pod, as `kubectl exec` does.

Source: the subprotocol v4.channel.k8s.io of exec (kubernetes staging/src/k8s.io/apimachinery/pkg/util/remotecommand):
a message's first byte is its channel, and what comes last is a Status that has the exit status. Standard input cannot
be ended without ending the connection.

A process that prints nothing for too long hangs, as one does whose disk hangs; it is left alone then. There is no other
bound: a volume may have any size.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import aiohttp

from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import choose, explain, registry_pods
from kube_registry.kube.websocket import open_websocket
from kube_registry.registry.errors import ExecError
from kube_registry.text import last_words
from kube_registry.tunnel.frames import PROTOCOL

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_CONTAINER = "write"
_ENDS = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

_AHEAD = 4
"""How many questions are sent ahead, so that the process never waits for the network."""

T = TypeVar("T")


@dataclass
class Process:
    """A process that runs in the pod; `process_in_pod` starts it.

    Args:
        kube: client of the registry's cluster.
        doing: what it is run for, as errors tell it.
        socket: its standard streams.
        seconds: how long it may print nothing, or leave unread what it is given.
    """

    kube: KubeClient
    doing: str
    socket: aiohttp.ClientWebSocketResponse
    seconds: float
    _errors: bytearray = field(default_factory=bytearray)
    _status: dict[str, Any] = field(default_factory=dict)

    async def send(self, line: str) -> None:
        """Give it a line on its standard input.

        Raises:
            ExecError: it does not read what it has got before.
        """
        with suppress(ConnectionError):  # of a connection that ended, `lines` says why
            async with self._in_time():
                await self.socket.send_bytes(bytes([_STDIN]) + f"{line}\n".encode())

    async def lines(self) -> AsyncIterator[str]:
        """The lines that it prints, until it has ended.

        Raises:
            ExecError: it could not be run, has failed, or has printed nothing for too long.
        """
        rest = b""
        while (message := await self._message()).type not in _ENDS:
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                *whole, rest = (rest + self._output(message.data[0], message.data[1:])).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
        if rest:
            yield rest.decode(errors="replace")
        if self._status.get("status") != "Success":
            words = self._errors.decode(errors="replace") or self._status.get("message", "the connection broke off")
            raise ExecError(where=self.kube.where, doing=self.doing, reason=last_words(words))

    async def answers(self, questions: Iterable[T], line: Callable[[T], str]) -> AsyncIterator[tuple[T, str]]:
        """The answers of a process that gives a line for each that it reads, and ends at an empty one.

        Args:
            questions: taken one by one, so that several processes may share an iterator.
            line: how a question is put.

        Raises:
            ExecError: as for `lines`.
        """
        waiting: deque[T] = deque()
        asked = iter(questions)

        async def ask() -> None:
            for question in islice(asked, 1):
                waiting.append(question)
                await self.send(line(question))

        for _ in range(_AHEAD):
            await ask()
        if not waiting:
            await self.send("")
        async for answer in self.lines():
            yield waiting.popleft(), answer
            await ask()
            if not waiting:
                await self.send("")

    async def _message(self) -> aiohttp.WSMessage:
        async with self._in_time():
            return await self.socket.receive()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError:
            reason = f"nothing came of it for {self.seconds:.0f} s"
            raise ExecError(where=self.kube.where, doing=self.doing, reason=reason) from None

    def _output(self, channel: int, data: bytes) -> bytes:
        """Keep what is no output of the process, and return what is."""
        if channel == _STDERR:
            self._errors += data
        elif channel == _STATUS:
            self._status = json.loads(data)
        return data if channel == _STDOUT else b""


@asynccontextmanager
async def process_in_pod(
    kube: KubeClient, doing: str, command: Sequence[str], *, seconds: float
) -> AsyncIterator[Process]:
    """A process in the container of the write door; its standard input ends with this, not the process itself.

    Args:
        kube: client of the registry's cluster.
        doing: what it is run for, as errors tell it.
        command: the program and its arguments.
        seconds: how long it may print nothing.

    Raises:
        ExecError: there is no pod.
        ForbiddenError: a right is missing.
    """
    pods = await registry_pods(kube)
    pod = choose(pods)
    if pod is None:
        raise ExecError(where=kube.where, doing=doing, reason=explain(pods))
    path, streams = kube.path("pods", f"{pod}/exec"), dict.fromkeys(("stdin", "stdout", "stderr"), "true")
    async with open_websocket(kube, path, PROTOCOL, container=_CONTAINER, command=command, **streams) as socket:
        yield Process(kube, doing, socket, seconds)


async def run_in_pod(kube: KubeClient, doing: str, command: Sequence[str], *, seconds: float) -> list[str]:
    """Run a program in the container of the write door, and return the lines that it has printed.

    Args:
        kube: client of the registry's cluster.
        doing: what it is run for, as errors tell it.
        command: the program and its arguments.
        seconds: how long it may print nothing.

    Raises:
        ExecError: there is no pod, the program cannot be run, has failed, or has printed nothing for too long.
        ForbiddenError: a right is missing.
    """
    async with process_in_pod(kube, doing, command, seconds=seconds) as process:
        return [line async for line in process.lines()]
