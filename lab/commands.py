"""Run slow programs (go, apt-get, pulumi plugin install) with a time limit and a log, and end their child processes."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.progress import duration


def run_logged(
    command: Sequence[str],
    *,
    log: Path,
    limit: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command until it ends and return its standard output; standard error is appended to the log.

    Args:
        command: the program and its arguments; its standard input is empty.
        log: the file to which the command and its output are appended.
        limit: seconds after which it is killed.
        cwd: its working directory.
        env: its environment; the current one if None.

    Raises:
        LabError: it failed or took too long; the message contains its last error line and the path of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+") as file:
        start = file.seek(0, os.SEEK_END)
        file.write(f"$ {' '.join(command)}\n")
        file.flush()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            process_group=0,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise LabError(f"{_brief(command)} timed out after {duration(limit)}; see its log {log}.") from None
        except BaseException:
            _kill(process)
            raise
        file.write(output)
        if process.returncode != 0:
            file.seek(start)
            raise LabError(f"{_brief(command)} failed: {last_word(file.read())} See its log {log}.")
    return output


def last_word(output: str) -> str:
    """Return the most useful line of a failed program's output: the last line with an error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("$ ")]
    errors = [line for line in lines if line.startswith("E: ") or "error" in line.lower()]
    chosen = (errors or lines or ["it printed nothing"])[-1]
    return chosen if chosen.endswith((".", "!")) else f"{chosen}."


def _brief(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:2]])


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the program and its child processes, which share a process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
