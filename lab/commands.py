"""Running a program that takes its time: bounded, logged, and ended with everything it started.

For the slow programs of the lab (go, apt-get, pulumi plugin install). What their output means is the caller's business.
"""

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
    """Run a command to its end and return its standard output; standard error goes to the end of the log.

    Args:
        command: the program and its arguments; it gets no standard input.
        log: where it and its output are written down.
        limit: seconds after which it is killed.
        cwd: the folder it runs in.
        env: its whole environment, else ours.

    Raises:
        LabError: it failed or took too long; the sentence carries its last word and the log's path.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+") as file:
        start = file.tell()
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
            raise LabError(f"{_brief(command)} was not done after {duration(limit)}; its log is {log}.") from None
        except BaseException:
            _kill(process)
            raise
        file.write(output)
        if process.returncode != 0:
            file.seek(start)
            raise LabError(f"{_brief(command)} failed: {last_word(file.read())} Its log is {log}.")
    return output


def last_word(output: str) -> str:
    """The line of a failed program's output that says most: its last error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("$ ")]
    telling = [line for line in lines if line.startswith("E: ") or "error" in line.lower()]
    word = (telling or lines or ["it said nothing"])[-1]
    return word if word.endswith((".", "!")) else f"{word}."


def _brief(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:2]])


def _kill(process: subprocess.Popen[str]) -> None:
    """End the program and what it started: they share a process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
