"""Run another program with a time limit, and end it together with its child processes."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process, SubprocessStreamProtocol
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kube_registry.text import one_line

END_SECONDS = 1.0
"""How long to wait for the end of a program after a signal."""


@dataclass(frozen=True)
class Ended:
    """The result of a program.

    Args:
        status: its exit status.
        out: its standard output.
        words: its standard error, as one line.
    """

    status: int
    out: bytes
    words: str


@asynccontextmanager
async def started(
    *command: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[str] = DEVNULL,
    stderr: int | IO[bytes] = PIPE,
    limit: int = 2**16,
    session: bool = True,
    sign: signal.Signals = signal.SIGKILL,
) -> AsyncIterator[Process]:
    """Start a program. If it still runs at the end of the block, or the block fails, end it with its child processes.

    Args:
        command: the program and its arguments.
        cwd: its working directory; the current one if None.
        env: its environment; the current one if None.
        stdin: its standard input.
        stderr: its standard error.
        limit: maximum length of a line of output in bytes, for reads by line.
        session: whether it runs in a new session, without this terminal and its Ctrl-C. If not, its child processes
            are not ended.
        sign: the signal that ends it.

    Raises:
        OSError: the program cannot be run.
    """
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit, loop),
        *command,
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        cwd=cwd,
        env=env,
        start_new_session=session,
    )
    process, done = Process(transport, protocol, loop), False
    try:
        yield process
        done = process.returncode is not None
    finally:
        if not done:
            if session or process.returncode is None:
                # Not send_signal(): it reaps the exit status that asyncio waits for.
                send = os.killpg if session else os.kill
                with suppress(ProcessLookupError):
                    send(process.pid, sign)
            with suppress(TimeoutError):  # a child process that still runs may hold the pipes open
                async with asyncio.timeout(END_SECONDS):
                    await process.wait()
        transport.close()  # the pipes, which a process in another session may hold open


async def run(
    *command: str, seconds: float, cwd: Path | None = None, env: Mapping[str, str] | None = None, session: bool = True
) -> Ended:
    """Run a program until it ends.

    Args:
        command: the program and its arguments.
        seconds: the time limit.
        cwd: its working directory; the current one if None.
        env: its environment; the current one if None.
        session: whether it runs in a new session, without this terminal and its Ctrl-C.

    Raises:
        OSError: the program cannot be run.
        TimeoutError: the program took longer than `seconds`.
    """
    async with started(*command, cwd=cwd, env=env, session=session) as process, asyncio.timeout(seconds):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out, one_line(err.decode(errors="replace")))
