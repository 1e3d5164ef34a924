"""Commands of registryctl for tests, run by children of a process that has imported all of them.

The imports take most of the time of a command. A child runs it as `python -m registryctl` does: from the program's
folder, with its own environment, standard input, output and errors. The tests that start `python -m registryctl`
themselves import everything anew.
"""

import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 200.0
"""How long a command may take."""

_SERVER = Path(__file__).with_name("forks_server.py")


@dataclass(frozen=True)
class Forks:
    """The servers of some folders; each is started by the first command that needs it, and ends with the block."""

    closing: ExitStack
    listeners: dict[Path, socket.socket]

    def run(
        self, folder: Path, words: Sequence[str], env: Mapping[str, str], given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run `registryctl` to its end, in a folder that has a copy of it; `given` is its standard input."""
        if folder not in self.listeners:
            self.listeners[folder] = self._start(folder, env)
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
            ours_and_theirs() as (connection, theirs),
        ):
            stdin.write(given.encode())
            stdin.seek(0)
            files = [file.fileno() for file in (theirs, stdin, stdout, stderr)]
            socket.send_fds(self.listeners[folder], [json.dumps({"words": words, "env": dict(env)}).encode()], files)
            theirs.close()
            connection.settimeout(SECONDS)
            status = connection.recv(16)
            assert status, "the process that waits for the command has ended"
            texts = []
            for file in (stdout, stderr):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(["registryctl", *words], int(status), *texts)

    def _start(self, folder: Path, env: Mapping[str, str]) -> socket.socket:
        listener, theirs = self.closing.enter_context(ours_and_theirs())
        command = [sys.executable, "-P", str(_SERVER), str(folder), str(theirs.fileno())]
        server = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        theirs.close()
        self.closing.callback(server.wait, SECONDS)
        self.closing.callback(server.send_signal, signal.SIGTERM)
        return listener


@contextmanager
def ours_and_theirs() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection that keeps the borders of messages."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@contextmanager
def forks() -> Iterator[Forks]:
    """Keep servers of registryctl for a block."""
    with ExitStack() as closing:
        yield Forks(closing, {})
