"""Processes that outlive the command that started them: started, recorded, asked for, ended.

A record is the process's pid, its start time and the machine's boot id, so that a number that was given to somebody
else meanwhile is never mistaken for ours. Every process also carries a mark in its environment, which its children
inherit: what was started but not recorded, because we were killed in between, is found by it. Nothing is ever found
by its program's name.
"""

import json
import os
import select
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError
from lab.waiting import wait_for

MARK = "KUBE_REGISTRY_LAB"
"""The environment variable that says to what a process belongs."""

END_SECONDS = 20.0
"""How long a process that got SIGKILL may take to be gone; a whole node's worth of children included."""

FORK_SECONDS = 10.0

_DRAFT = "starting"
"""What a record says before its process has a number: whoever reads it later knows that we were killed in between."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Process:
    """One process that was started at one moment.

    Attributes:
        pid: its number, as the root PID namespace sees it.
        started: when it started, in clock ticks since boot.
        boot: which boot that was.
        since: the same moment by the clock, in seconds since 1970.
    """

    pid: int
    started: int
    boot: str
    since: float

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return self.boot == _boot() and _started(self.pid) == self.started


def start(command: Sequence[str], *, record: Path, log: Path, mark: str, forks: bool = False) -> Process:
    """Start a program that goes on without us, in a session and with an environment of its own.

    Whatever the record told of so far is ended first.

    Args:
        command: the program, found on PATH, and its arguments.
        record: the file that will tell of it.
        log: where its output is appended.
        mark: a path like "dev/dev-n0/kubelet", carried by it and its children; no other process has the same.
        forks: the program forks once and waits (nsenter, unshare); it is the child that counts.

    Raises:
        LabError: there is no such program, or it ended at once.
    """
    program = shutil.which(command[0], path=_PATH)
    if not program:
        raise LabError(f"{command[0]} is not in {_PATH}; install the package that holds it.")
    before = recorded(record)
    if before:
        end(before)
    if _is_draft(record):
        end_marked(mark)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(_DRAFT)
    pid = _spawn(program, command, log, mark)
    if forks:
        pid = _only_child(pid, command, log)
    started = _started(pid)
    if started is None:
        raise LabError(f"{command[0]} ended as soon as it was started; see {log}.")
    process = Process(pid, started, _boot(), time.time())
    record.write_text(json.dumps(asdict(process)))
    return process


def recorded(file: Path) -> Process | None:
    """The process that a record tells of, alive or not; None where there is no readable record."""
    try:
        return Process(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def end(process: Process, *, grace: float = 0.0) -> None:
    """End a process, and return when it is gone; one that is gone already is fine.

    Args:
        process: what to end, and nothing else that has its number.
        grace: seconds between SIGTERM and SIGKILL; 0 means SIGKILL at once.

    Raises:
        LabError: it outlived SIGKILL by `END_SECONDS`.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not process.alive:
            return
        if grace:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if _gone(handle, grace):
                return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not _gone(handle, END_SECONDS):
            raise LabError(
                f"Process {process.pid} is still there {END_SECONDS:.0f} s after SIGKILL; "
                f"see what it hangs in with: cat /proc/{process.pid}/stack"
            )
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def end_marked(mark: str) -> None:
    """SIGKILL every process with this mark or one below it ("dev" ends "dev/dev-n0/kubelet"), and wait for their end.

    Raises:
        LabError: one of them outlived SIGKILL by `END_SECONDS`.
    """
    while found := _marked(mark):
        for process in found:
            _kill(
                process
            )  # all first: the init of a machine is gone only when those outside have reaped what they began
        for process in found:
            end(process)


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            if process.alive:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _marked(mark: str) -> list[Process]:
    entry = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or is kept even from root: then it is not ours
        started = _started(int(folder.name))
        if started is not None and any(e == entry or e.startswith(entry + b"/") for e in environment):
            found.append(Process(int(folder.name), started, _boot(), time.time()))
    return found


def _spawn(program: str, command: Sequence[str], log: Path, mark: str) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    # Files that this process itself was given, such as the lock of `flock FILE make up`.
    inherited = [opened for each in Path("/proc/self/fd").iterdir() if (opened := int(each.name)) not in (0, 1, 2)]
    return os.posix_spawn(
        program,
        list(command),
        {"PATH": _PATH, "HOME": "/root", MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_CLOSE, opened) for opened in inherited),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, and that would be inherited
    )


def _only_child(parent: int, command: Sequence[str], log: Path) -> int:
    def child() -> int | None:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            children = []
        if not children and _started(parent) is None:
            raise LabError(f"{' '.join(command)} ended as soon as it was started; see {log}.")
        return int(children[0]) if children else None

    return wait_for(child, f"{command[0]} to fork", log=log, seconds=FORK_SECONDS)


def _is_draft(record: Path) -> bool:
    return record.exists() and record.read_text() == _DRAFT


def _started(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it is gone or a zombie."""
    try:
        # The program's name, in brackets, may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _gone(handle: int, seconds: float) -> bool:
    watch = select.poll()
    watch.register(handle, select.POLLIN)
    return bool(watch.poll(seconds * 1000))
