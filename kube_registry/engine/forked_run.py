"""One run of a Pulumi program, in a child of the fork server. The fork server itself starts this module.

The child is forked once more. One process, the host, serves the program to the `pulumi` command as a language runtime
(pulumi/pulumi proto/pulumi/language.proto). The other, the program, waits until the engine calls Run, and then runs
`pulumi-language-python-exec` as Pulumi's own language host does: the same launcher with the same arguments, so that
errors, exit statuses and signals are those of a cold run. Two processes are needed because gRPC has threads: the
program is forked before they start, and runs in a main thread.
"""

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc, plugin_pb2

_REPORTED = 32
"""Exit status of a program whose error was already shown (pulumi-language-python-exec)."""

_END_SECONDS = 1.0
"""How long the program may take to end after a SIGINT; Pulumi gives its own language host as long."""

_MOST_BYTES = 2**16
"""The most bytes of one message of output, as many as a pipe holds; more if a line is longer."""

_UNLIMITED = [("grpc.max_receive_message_length", -1)]


def serve(connection: socket.socket) -> NoReturn:
    """Serve one run until the other end of the connection is closed; then end this process and all that it started.

    Args:
        connection: receives one line of JSON: `env`, `umask`, `launcher` (path of the launcher) and `address` (the
            Unix socket to serve at). The line `ready` is the answer.
    """
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("rb") as lines:
        request = json.loads(lines.readline())
    os.environ.clear()
    os.environ.update(request["env"])
    os.umask(request["umask"])
    for descriptor in (0, 1):  # the listening socket, and what the server watches
        _redirect(os.open(os.devnull, os.O_RDWR), descriptor)
    program = _Program(connection, request["launcher"])
    server = grpc.server(ThreadPoolExecutor(), options=_UNLIMITED)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(_Host(program), server)
    server.add_insecure_port(f"unix:{request['address']}")
    server.start()
    connection.sendall(b"ready\n")
    with suppress(ConnectionError):
        connection.recv(1)
    program.end()
    os.killpg(0, signal.SIGKILL)
    raise SystemExit  # not reached


class _Program:
    """The process that runs the program. It ends without a run if `job` is closed."""

    def __init__(self, connection: socket.socket, launcher: str) -> None:
        job, self.job = os.pipe()
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            connection.close()
            for descriptor in (self.job, self.out, self.err):
                os.close(descriptor)
            _redirect(out, 1)
            _redirect(err, 2)
            _run(job, launcher)
        for descriptor in (job, out, err):
            os.close(descriptor)
        self.ended = os.pidfd_open(self.pid)

    def run(self, job: dict[str, Any]) -> int:
        """Start the run and return the exit status of the program; -1 if a signal has ended it."""
        with os.fdopen(self.job, "w") as file:
            json.dump(job, file)
        _, status = os.waitpid(self.pid, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1

    def end(self) -> None:
        """End the program as `pulumi` does, by a SIGINT."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.ended, signal.SIGINT)
            select.select([self.ended], [], [], _END_SECONDS)


class _Host(language_pb2_grpc.LanguageRuntimeServicer):
    """The language runtime, for one call of Run."""

    def __init__(self, program: _Program) -> None:
        self._program = program
        self._first = threading.Lock()

    def GetPluginInfo(self, _request: object, _context: object) -> object:  # noqa: N802 - named by the protocol
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(self, _request: object, _context: object) -> object:  # noqa: N802
        """Name no package: the engine installs a missing plugin when a resource that needs it is registered."""
        return language_pb2.GetRequiredPackagesResponse()

    def Run(self, request: Any, _context: object) -> object:  # noqa: N802, ANN401 - the SDK generates its type
        if not self._first.acquire(blocking=False):
            return language_pb2.RunResponse(error="a warm run serves one command, without a preview before the update")
        with grpc.insecure_channel(request.args[0]) as channel:
            engine = engine_pb2_grpc.EngineStub(channel)
            streams = ((self._program.out, 1), (self._program.err, 2))
            readers = [threading.Thread(target=_log, args=(engine, *stream), daemon=True) for stream in streams]
            for reader in readers:
                reader.start()
            status = self._program.run(_job(request))
            for reader in readers:
                reader.join(_END_SECONDS)  # a process that the program has started may hold the pipe open
        if status == _REPORTED:
            return language_pb2.RunResponse(bail=True)
        error = f"program exited with non-zero exit code: {status}" if status else ""
        return language_pb2.RunResponse(error=error)


def _job(request: Any) -> dict[str, Any]:  # noqa: ANN401 - the SDK generates its type
    """Return the arguments and the environment of the launcher (pulumi-language-python main.go, constructArguments)."""
    engine, *arguments = request.args
    options = {
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "pwd": request.pwd,
        "dry_run": "true" if request.dryRun else "false",
        "parallel": str(request.parallel),
        "organization": request.organization,
    }
    words = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    config = {
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
    }
    return {"arguments": [*words, request.program, *arguments], "env": config}


def _log(engine: Any, descriptor: int, stream: int) -> None:  # noqa: ANN401 - the SDK generates its type
    """Log an output as the engine logs that of its own language host; lines that come faster are one message.

    A call for each line would take half a millisecond.
    """
    rest = b""
    with os.fdopen(descriptor, "rb", buffering=0) as out:
        while data := out.read(_MOST_BYTES):
            complete, end, rest = (rest + data).rpartition(b"\n")
            _log_lines(engine, stream, complete + end)
    _log_lines(engine, stream, rest)


def _log_lines(engine: Any, stream: int, lines: bytes) -> None:  # noqa: ANN401 - the SDK generates its type
    text = b"".join(line for line in lines.splitlines(keepends=True) if line.strip()).decode(errors="replace")
    if text:
        with suppress(grpc.RpcError):  # the engine has ended
            engine.Log(engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, streamId=stream))


def _run(job: int, launcher: str) -> NoReturn:
    """Wait for the job and run the launcher; the exit status is its own."""
    with os.fdopen(job) as file:
        text = file.read()
    if not text:
        os._exit(0)
    given = json.loads(text)
    os.environ.update(given["env"])
    time.tzset()
    importlib.invalidate_caches()
    sys.dont_write_bytecode = True  # an edit within a second to the same length would leave the old one valid
    sys.argv = [launcher, *given["arguments"]]
    try:
        runpy.run_path(launcher, run_name="__main__")
    except SystemExit as ended:  # by which the launcher always ends
        if isinstance(ended.code, int):
            _exit(ended.code)
        raise
    sys.exit(0)


def _exit(status: int) -> NoReturn:
    """End this process as Python does, but leave its memory to the kernel, as multiprocessing does after a fork.

    Python would release every object, and so write to all pages that this process shares with the fork server.
    """
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - waits for threads, as at the end of a program
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def _redirect(source: int, target: int) -> None:
    os.dup2(source, target)
    os.close(source)
