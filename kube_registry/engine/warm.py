"""Warm runs: a child of a fork server runs the program, so that an update does not wait for the imports.

A warm run is the same `pulumi up` as a cold one, with the option `--client`: the program runs from its start in a new
process, in the folder, environment and umask of the run. It ends with the run, or with this process.
"""

import asyncio
import itertools
import json
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

from kube_registry.engine.errors import ColdRunError
from kube_registry.engine.interpreter import Interpreter, interpreter_of
from kube_registry.processes import END_SECONDS, started
from kube_registry.text import last_words

_SCRIPT = Path(__file__).with_name("fork_server.py")
_LAUNCHER = "pulumi-language-python-exec"
_START_SECONDS = 60.0
"""How long a fork server may take until it serves a run; it imports for about two seconds."""

_Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, eq=False)
class _Server:
    """A fork server.

    Args:
        process: its process.
        path: the socket that it listens at.
        errors: its standard error.
    """

    process: Process
    path: Path
    errors: IO[bytes]

    async def failure(self) -> str:
        """Return why it has ended a connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").splitlines()
        return f"the fork server failed: {last_words(lines[-1]) if lines else 'it reports no error'}"


@dataclass(frozen=True, eq=False)
class WarmRuns:
    """The fork servers of some programs; each is started by the first run that needs it. See `warm_runs`."""

    sockets: Path
    on_cold: Callable[[str], object]
    closing: AsyncExitStack
    servers: dict[tuple[Interpreter, frozenset[tuple[str, str]]], _Server] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def prepare(self, folder: Path, env: Mapping[str, str]) -> None:
        """Start the fork server of a program if it does not run, so that its imports are done when a run needs it.

        Args:
            folder: folder of the program's Pulumi.yaml.
            env: the environment of the run.
        """
        with suppress(ColdRunError):  # the run reports it
            interpreter = await _interpreter(folder)
            await self._server(interpreter, interpreter.activate(env))

    @asynccontextmanager
    async def serving(self, folder: Path, env: Mapping[str, str]) -> AsyncIterator[tuple[str, ...]]:
        """Serve one run of a program: yield the options of `pulumi` for it, none if the run has to be cold.

        At the end of the block, the processes of the run end, too. They serve `pulumi up --skip-preview`, or
        `pulumi preview`: one command that runs the program once.

        Args:
            folder: folder of the program's Pulumi.yaml.
            env: the environment of the run.
        """
        try:
            address, connection = await self._connect(folder, env)
        except ColdRunError as error:
            if error.reason not in self.reported:
                self.on_cold(f"cold run: {error.reason}")
                self.reported.add(error.reason)
            yield ()
            return
        try:
            yield (f"--client=unix:{address}",)
        finally:
            await _end(connection)

    async def _connect(self, folder: Path, given: Mapping[str, str]) -> tuple[Path, _Connection]:
        """Start a run; return the address that serves it and the connection that keeps it alive."""
        interpreter = await _interpreter(folder)
        env = interpreter.activate(given)
        launcher = shutil.which(_LAUNCHER, path=env.get("PATH"))
        if not launcher:
            raise ColdRunError(f"{_LAUNCHER} is not on PATH")
        address = self.sockets / f"run-{next(self.numbers)}"
        request = {"env": env, "umask": _umask(), "launcher": launcher, "address": str(address)}
        return address, await _connected(await self._server(interpreter, env), request)

    async def _server(self, interpreter: Interpreter, env: Mapping[str, str]) -> _Server:
        """Return the fork server for an interpreter; start it if it does not run."""
        flags = frozenset((name, value) for name, value in env.items() if name.startswith("PYTHON"))
        key = interpreter, flags  # Python reads the flags at its start
        async with self.lock:
            if key not in self.servers or self.servers[key].process.returncode is not None:
                self.servers[key] = await self._start(interpreter, env)
            return self.servers[key]

    async def _start(self, interpreter: Interpreter, env: Mapping[str, str]) -> _Server:
        path = self.sockets / f"server-{next(self.numbers)}"
        errors = self.closing.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the servers
        command = (str(interpreter.python), "-P", str(_SCRIPT), str(interpreter.program))
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(socket.SOMAXCONN)
                running = started(*command, cwd=interpreter.program, env=env, stdin=listener.fileno(), stderr=errors)
                process = await self.closing.enter_async_context(running)
        except OSError as error:
            raise ColdRunError(f"the fork server {interpreter.python} cannot be started: {error}") from error
        return _Server(process, path, errors)


@asynccontextmanager
async def warm_runs(on_cold: Callable[[str], object]) -> AsyncIterator[WarmRuns]:
    """Keep fork servers for the programs that run in a block; end them with the block.

    Args:
        on_cold: called with one line if a run has to be cold, and why: there is no fork server, or none is possible.
            Each reason is reported once.
    """
    with tempfile.TemporaryDirectory(prefix="kube-registry-") as sockets:  # only its owner can enter it
        async with AsyncExitStack() as closing:
            yield WarmRuns(Path(sockets), on_cold, closing)


async def _interpreter(folder: Path) -> Interpreter:
    """Return the Python of a program that may be forked."""
    if sys.platform != "linux":
        raise ColdRunError(f"a fork is not safe on {sys.platform}")
    return await asyncio.to_thread(interpreter_of, folder)


async def _connected(server: _Server, request: Mapping[str, object]) -> _Connection:
    """Start a run in a child of a fork server; return the connection once the child serves it."""
    try:
        async with AsyncExitStack() as failing, asyncio.timeout(_START_SECONDS):
            reader, writer = await asyncio.open_unix_connection(server.path)
            failing.callback(writer.close)
            writer.write(f"{json.dumps(request)}\n".encode())
            if await reader.readline():
                failing.pop_all()
                return reader, writer
    except TimeoutError as error:
        raise ColdRunError(f"the fork server took longer than {_START_SECONDS:.0f} s") from error
    except OSError as error:
        raise ColdRunError(await server.failure()) from error
    raise ColdRunError(await server.failure())


async def _end(connection: _Connection) -> None:
    """End a run and wait until its processes have ended."""
    reader, writer = connection
    try:
        with suppress(OSError, TimeoutError):
            writer.write_eof()
            async with asyncio.timeout(2 * END_SECONDS):
                await reader.read()
    finally:
        writer.close()


def _umask() -> int:
    """Return the umask of this process; os.umask() would change it for a moment, for all threads."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("Umask:")[2].split()[0], 8)
