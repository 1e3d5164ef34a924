"""The `pulumi` program, held by one stack's run so that it can be ended from another thread."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

import psutil
from pulumi import automation
from pulumi.automation.errors import create_command_error

GRACE_SECONDS = 20.0
"""How long `pulumi` may take to end by itself once it is told to; a push that hangs does not end before."""

_OURS = {"PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_AUTOMATION_API": "true"}


class HeldCommand(automation.PulumiCommand):
    """The Automation API's runner of `pulumi`, which has no end but that of the program.

    Each program gets a session of its own: a Ctrl-C at the terminal reaches us alone. With a second one, `pulumi`
    would end at once and leave a pending operation.

    Args:
        found: the `pulumi` that was found, with its version.
        grace: how many seconds it may take to end.
    """

    def __init__(self, found: automation.PulumiCommand, grace: float = GRACE_SECONDS) -> None:  # asks no version again
        self.command, self.version = found.command, found.version
        self.killed = False
        self._grace = grace
        self._lock = threading.Lock()
        self._told = False
        self._process: subprocess.Popen[str] | None = None
        self._timer: threading.Timer | None = None

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> automation.CommandResult:
        """Run `pulumi` with these arguments.

        Args:
            args: the arguments.
            cwd: where it runs.
            additional_env: what is set beside our own environment.
            on_output: told of every line of its output, as it comes.
            on_error: told of every line of its errors, at its end.

        Raises:
            CommandError: it failed, or it was told to end.
        """
        env = {**os.environ, **_OURS, **additional_env}
        with tempfile.TemporaryFile("w+") as errors, self._begin(args, cwd, env, errors) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if on_output:
                    on_output(lines[-1])
            code = process.wait()
            with self._lock:
                timer = self._timer
            if timer:
                timer.cancel()
                timer.join()  # it may be killing plugins, which nobody shall find alive afterwards
            errors.seek(0)
            said = errors.read().splitlines()
        if on_error:
            for line in said:
                on_error(line)
        result = automation.CommandResult("\n".join(lines), "\n".join(said), code)
        if code != 0:
            raise create_command_error(result)
        return result

    def end(self) -> None:
        """Tell `pulumi` to end, as Ctrl-C does, and end it with force after the grace. Idempotent; does not wait."""
        with self._lock:
            if self._told:
                return
            self._told = True
            if self._process and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                self._timer = threading.Timer(self._grace, self._kill, [self._process])
                self._timer.start()

    def _begin(self, args: list[str], cwd: str, env: Mapping[str, str], errors: IO[str]) -> "subprocess.Popen[str]":
        with self._lock:
            if self._told:
                raise automation.CommandError(automation.CommandResult("", "error: told to end", 1))
            self._process = subprocess.Popen(
                [self.command, "--non-interactive", *args],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                start_new_session=True,
            )
            return self._process

    def _kill(self, process: "subprocess.Popen[str]") -> None:
        if process.poll() is None:
            self.killed = True
            for pid in _session(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """The processes of a session, its leader first: plugins have process groups of their own and outlive the engine."""
    found = {leader}
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                found.add(pid)
    return sorted(found, key=lambda pid: pid != leader)
