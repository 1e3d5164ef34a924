"""Run commands in a VM by QEMU's guest agent, whose requests need no network and no process on the VM's side.

The protocol is JSON, one request and one response at a time, over a Unix socket that QEMU connects with the VM.
"""

import base64
import json
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.toolchain import locked
from lab.waiting import PAUSE_SECONDS

ANSWER_SECONDS = 30.0
"""How long a request may take, which only starts a command or asks for its state."""

_DELIMITER = b"\xff"
"""Precedes the response to a synchronisation: no other response contains it."""


class NotConnectedError(LabError):
    """QEMU or the agent does not respond."""


@dataclass(frozen=True)
class Agent:
    """The guest agent of a VM, at the Unix socket `path`."""

    path: Path

    def run(self, *command: str, given: bytes = b"", seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command as root and wait for its end; a failure raises nothing.

        Args:
            command: the program and its arguments.
            given: its standard input.
            seconds: the time limit, after which it is killed.

        Raises:
            NotConnectedError: the agent does not respond.
            LabError: the program does not exist.
            subprocess.TimeoutExpired: it took too long.
        """
        arguments = {"path": command[0], "arg": command[1:], "capture-output": True}
        pid = self._ask("guest-exec", {**arguments, "input-data": _encoded(given)})["pid"]
        deadline = time.monotonic() + seconds
        while not (state := self._ask("guest-exec-status", {"pid": pid}))["exited"]:
            if time.monotonic() > deadline:
                self._ask("guest-exec", {"path": "kill", "arg": ["-KILL", str(pid)]})
                raise subprocess.TimeoutExpired(command, seconds)
            time.sleep(PAUSE_SECONDS)
        status = state["exitcode"] if "exitcode" in state else -state["signal"]
        return subprocess.CompletedProcess(command, status, _text(state, "out-data"), _text(state, "err-data"))

    def responds(self) -> bool:
        """Return whether the agent runs."""
        try:
            self._ask("guest-ping", {}, seconds=1.0)
        except NotConnectedError:
            return False
        return True

    def _ask(self, request: str, arguments: dict[str, Any], seconds: float = ANSWER_SECONDS) -> Any:  # noqa: ANN401
        with locked(self.path.with_suffix(".lock")):  # QEMU serves one connection at a time
            try:
                response = _exchange(self.path, {"execute": request, "arguments": arguments}, seconds)
            except (OSError, ValueError) as error:
                raise NotConnectedError(f"The guest agent at {self.path} does not respond: {error}.") from None
        if "error" in response:
            raise LabError(f"The guest agent at {self.path} refused {request}: {response['error']['desc']}.")
        return response["return"]


def checked(done: subprocess.CompletedProcess[str], name: str) -> str:
    """Return what a command printed.

    Raises:
        LabError: it failed; `name` is that of the VM.
    """
    if done.returncode != 0:
        output = " ".join((done.stderr or done.stdout).split())
        raise LabError(f"{' '.join(done.args)} failed on {name} with status {done.returncode}: {output}")
    return done.stdout


def _exchange(path: Path, request: dict[str, Any], seconds: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        number = secrets.randbelow(2**31)
        synchronise = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        connection.sendall(_DELIMITER + json.dumps(synchronise).encode() + b"\n")
        with connection.makefile("rb") as responses:
            # Responses to a client that went away come first.
            while number != json.loads(_after_delimiter(responses.readline())).get("return"):
                pass
            connection.sendall(json.dumps(request).encode() + b"\n")
            response: dict[str, Any] = json.loads(responses.readline())
            return response


def _after_delimiter(line: bytes) -> bytes:
    _, found, response = line.rpartition(_DELIMITER)
    if not line:
        raise ConnectionError("QEMU closed the connection")
    return response if found else b"{}"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(state: dict[str, Any], name: str) -> str:
    return base64.b64decode(state.get(name, "")).decode(errors="replace")
