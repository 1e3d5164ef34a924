"""The one way to run another program: within a bound, and ended with all that it has started."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kube_registry.text import one_line

END_SECONDS = 1.0
"""How long the end of a program is waited for, once it was sent a signal."""


@dataclass(frozen=True)
class Ended:
    """How a program has ended.

    Args:
        status: its exit status.
        out: what it has written to its standard output.
        words: what it has written to its standard error, in one line.
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
    """Run a program; if it has not ended with the block, or the block fails, it is ended with all that it has started.

    Args:
        command: the program and its arguments.
        cwd: the folder that it runs in; ours if None.
        env: its environment; ours if None.
        stdin: its standard input.
        stderr: its standard error.
        limit: bytes that a line of its output may have, where it is read by lines.
        session: whether it gets a session of its own, without our terminal and its Ctrl-C; else it is ended alone.
        sign: the signal that ends it.

    Raises:
        OSError: it cannot be run.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=env, stdin=stdin, stdout=PIPE, stderr=stderr, limit=limit, start_new_session=session
    )
    done = False
    try:
        yield process
        done = process.returncode is not None
    finally:
        if not done:
            if session or process.returncode is None:
                # No send_signal(), which takes the exit status that asyncio waits for.
                send = os.killpg if session else os.kill
                with suppress(ProcessLookupError):
                    send(process.pid, sign)
            with suppress(TimeoutError):  # a child that was not ended may hold its pipes
                async with asyncio.timeout(END_SECONDS):
                    await process.wait()


async def run(
    *command: str, seconds: float, cwd: Path | None = None, env: Mapping[str, str] | None = None, session: bool = True
) -> Ended:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        seconds: how long it may take.
        cwd: the folder that it runs in; ours if None.
        env: its environment; ours if None.
        session: whether it gets a session of its own, without our terminal and its Ctrl-C.

    Raises:
        OSError: it cannot be run.
        TimeoutError: it took longer.
    """
    async with started(*command, cwd=cwd, env=env, session=session) as process, asyncio.timeout(seconds):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out, one_line(err.decode(errors="replace")))
