"""How `pulumi` is run: in a session of its own, its lines as they come, and ended as Ctrl-C ends it.

In a session of its own, a Ctrl-C at the terminal reaches us alone: with a second one, `pulumi` would end at once and
leave a pending operation.
"""

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil

from kube_registry.concurrency import cancelled_once
from kube_registry.engine.errors import ProgramError
from kube_registry.processes import Ended, started
from kube_registry.spec.phases import MARKS
from kube_registry.text import one_line

GRACE_SECONDS = 20.0
"""How long `pulumi` may take to end by itself after a SIGINT; a push that hangs does not end before."""

_ENVIRONMENT = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_AUTOMATION_API": "true",
    "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true",  # a preview, too, prints its events as they come
    **MARKS,
}

_MOST_BYTES = 2**30
"""Of one line: an event holds a whole resource."""


async def run_pulumi(
    command: Sequence[str],
    folder: Path,
    *,
    on_line: Callable[[str], object] | None = None,
    grace: float = GRACE_SECONDS,
    when_killed: Callable[[], Awaitable[object]] | None = None,
) -> Ended:
    """Run `pulumi` to its end.

    Where this is cancelled, or `on_line` fails, `pulumi` gets one SIGINT. If it goes on for longer than `grace`, it is
    killed with its plugins. Its end is waited for; a further cancellation does not shorten that.

    Args:
        command: `pulumi` and its arguments.
        folder: where it runs.
        on_line: called with every line of its standard output as it comes, which `Ended.out` has not then.
        grace: seconds that it may take to end after the SIGINT.
        when_killed: awaited after it was killed.

    Raises:
        ProgramError: it cannot be run.
    """

    async def run_to_its_end() -> Ended:
        with tempfile.TemporaryFile() as errors:
            async with AsyncExitStack() as closing:
                running = started(*command, cwd=folder, env=os.environ | _ENVIRONMENT, stderr=errors, limit=_MOST_BYTES)
                try:
                    process = await closing.enter_async_context(running)
                except OSError as error:
                    raise ProgramError(reason=os.strerror(error.errno or 0)) from error
                try:
                    out = await _read(process, on_line)
                except BaseException:
                    if await _is_killed(process, grace) and when_killed:
                        await when_killed()
                    raise
            errors.seek(0)
            return Ended(process.returncode or 0, out, one_line(errors.read().decode(errors="replace")))

    return await cancelled_once(run_to_its_end())


async def _read(process: Process, on_line: Callable[[str], object] | None) -> bytes:
    """All that it writes to its standard output until it ends, unless that goes to `on_line`."""
    out = bytearray()
    while process.stdout and (line := await process.stdout.readline()):
        if on_line is None:
            out += line
        else:
            on_line(line.decode(errors="replace").rstrip())
    await process.wait()
    return bytes(out)


async def _is_killed(process: Process, grace: float) -> bool:
    """End it as Ctrl-C does, after the grace by force; whether that was needed."""
    with suppress(ProcessLookupError):
        if process.returncode is None:
            os.kill(process.pid, signal.SIGINT)  # process.send_signal() takes an exit status that asyncio waits for
    try:
        async with asyncio.timeout(grace):
            await process.communicate()
    except TimeoutError:
        _kill_session(process.pid)
        return True
    return False


def _kill_session(leader: int) -> None:
    """Kill a session, its leader first: plugins have process groups of their own and outlive the engine."""
    for pid in (leader, *psutil.pids()):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
