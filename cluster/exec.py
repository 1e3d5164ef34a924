"""A program run in the registry's pod, as `kubectl exec` does.

Source: the subprotocol v4.channel.k8s.io of exec (kubernetes staging/src/k8s.io/apimachinery/pkg/util/remotecommand):
a message's first byte is its channel, and what comes last is a Status that has the exit status.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from cluster.frames import PROTOCOL
from cluster.kube import KubeClient
from cluster.pods import choose, explain, one_line, registry_pods
from stack.housekeeping_errors import ExecError

_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
_CONTAINER = "write"
_BEAT = bytes([_STDIN]) + b"\n"

BEAT_SECONDS = 0.5
"""How often a program gets a line on its standard input, by which it can tell that somebody still waits for it."""


@dataclass
class _Said:
    """What a program has said so far."""

    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    status: dict[str, Any] = field(default_factory=dict)

    def __call__(self, channel: int, data: bytes) -> None:
        if channel == _STDOUT:
            self.output += data
        elif channel == _STDERR:
            self.errors += data
        elif channel == _STATUS:
            self.status = json.loads(data)


async def run_in_pod(kube: KubeClient, doing: str, command: Sequence[str], *, seconds: float) -> str:
    """What a program prints in the container of the write door.

    It gets a line on its standard input twice a second, and none any more once this has ended, for whatever reason: a
    program that must not go on alone reads them.

    Args:
        kube: client of the registry's cluster.
        doing: what it is run for, as errors tell it.
        command: the program and its arguments.
        seconds: how long it may take.

    Raises:
        ExecError: there is no pod, the program cannot be run, has failed or took too long.
        ForbiddenError: a right is missing.
    """
    pods = await registry_pods(kube)
    pod = choose(pods)
    if pod is None:
        raise ExecError(where=kube.where, doing=doing, reason=explain(pods))
    path = f"/api/v1/namespaces/{kube.where.namespace}/pods/{pod}/exec"
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), "true")
    said = _Said()
    try:
        async with (
            asyncio.timeout(seconds),
            kube.websocket(path, PROTOCOL, container=_CONTAINER, command=command, **streams) as socket,
            asyncio.TaskGroup() as group,
        ):
            beating = group.create_task(_beat(socket))
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY and message.data:
                    said(message.data[0], message.data[1:])
            beating.cancel()
    except TimeoutError:
        raise ExecError(where=kube.where, doing=doing, reason=f"it took longer than {seconds:.0f} s") from None
    if said.status.get("status") != "Success":
        raise ExecError(where=kube.where, doing=doing, reason=_reason(said))
    return said.output.decode(errors="replace")


async def _beat(socket: aiohttp.ClientWebSocketResponse) -> None:
    while not socket.closed:
        await socket.send_bytes(_BEAT)
        await asyncio.sleep(BEAT_SECONDS)


def _reason(said: _Said) -> str:
    """The program's last words, or the node's where it could not be run."""
    words = said.errors.decode(errors="replace") or str(said.status.get("message", "the connection broke off"))
    return one_line(words)
