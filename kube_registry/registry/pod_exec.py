"""Run a process in the registry's pod, as `kubectl exec` does.

Source: the subprotocol v4.channel.k8s.io of exec (kubernetes staging/src/k8s.io/apimachinery/pkg/util/remotecommand):
the first byte of a message is its channel, and the last message is a Status with the exit code. Standard input cannot
be closed without closing the connection.

A process that prints nothing for too long is hanging, for example because its disk hangs. The connection to it is then
closed. There is no other timeout, because a volume may have any size.
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
"""How many requests are sent ahead, so that the process never waits for the network."""

T = TypeVar("T")


@dataclass
class Process:
    """A running process in the pod; `process_in_pod` starts it.

    Args:
        kube: client of the registry's cluster.
        doing: what the process is run for, for errors.
        socket: its standard streams.
        seconds: how long it may print nothing, or not read its standard input.
    """

    kube: KubeClient
    doing: str
    socket: aiohttp.ClientWebSocketResponse
    seconds: float
    _errors: bytearray = field(default_factory=bytearray)
    _status: dict[str, Any] = field(default_factory=dict)

    async def send(self, line: str) -> None:
        """Write a line to its standard input.

        Raises:
            ExecError: it does not read its standard input.
        """
        with suppress(ConnectionError):  # if the connection has ended, `lines` raises the reason
            async with self._in_time():
                await self.socket.send_bytes(bytes([_STDIN]) + f"{line}\n".encode())

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines that it prints, until it has exited.

        Raises:
            ExecError: it could not be run, failed, or printed nothing for too long.
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
            words = self._errors.decode(errors="replace") or self._status.get("message", "the connection was lost")
            raise ExecError(where=self.kube.where, doing=self.doing, reason=last_words(words))

    async def answers(self, questions: Iterable[T], line: Callable[[T], str]) -> AsyncIterator[tuple[T, str]]:
        """Yield each question with its answer, from a process that prints a line for each line that it reads.

        The process has to exit when it reads an empty line.

        Args:
            questions: the questions, taken one by one, so that several processes may share an iterator.
            line: formats a question as a line.

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
            reason = f"no output for {self.seconds:.0f} s"
            raise ExecError(where=self.kube.where, doing=self.doing, reason=reason) from None

    def _output(self, channel: int, data: bytes) -> bytes:
        """Return data of standard output; store standard error and the status."""
        if channel == _STDERR:
            self._errors += data
        elif channel == _STATUS:
            self._status = json.loads(data)
        return data if channel == _STDOUT else b""


@asynccontextmanager
async def process_in_pod(
    kube: KubeClient, doing: str, command: Sequence[str], *, seconds: float
) -> AsyncIterator[Process]:
    """Start a process in the container of the write door; the end of the block closes its standard input only.

    Args:
        kube: client of the registry's cluster.
        doing: what the process is run for, for errors.
        command: the program and its arguments.
        seconds: how long it may print nothing.

    Raises:
        ExecError: there is no pod.
        ForbiddenError: a permission is missing.
        UpgradeError: no WebSocket with v4.channel.k8s.io was opened.
    """
    pods = await registry_pods(kube)
    pod = choose(pods)
    if pod is None:
        raise ExecError(where=kube.where, doing=doing, reason=explain(pods))
    path, streams = kube.path("pods", f"{pod}/exec"), dict.fromkeys(("stdin", "stdout", "stderr"), "true")
    async with open_websocket(kube, path, PROTOCOL, container=_CONTAINER, command=command, **streams) as socket:
        yield Process(kube, doing, socket, seconds)


async def run_in_pod(kube: KubeClient, doing: str, command: Sequence[str], *, seconds: float) -> list[str]:
    """Run a program in the container of the write door, and return the lines that it printed.

    Args:
        kube: client of the registry's cluster.
        doing: what the program is run for, for errors.
        command: the program and its arguments.
        seconds: how long it may print nothing.

    Raises:
        ExecError: there is no pod, or the program could not be run, failed, or printed nothing for too long.
        ForbiddenError: a permission is missing.
    """
    async with process_in_pod(kube, doing, command, seconds=seconds) as process:
        return [line async for line in process.lines()]
