"""Start, find and stop processes that outlive the command that started them.

A record contains the pid, the start time and the machine's boot id, so that a process with a reused pid is never
mistaken for a recorded one. Every process also has a mark in its environment, which its children inherit. The mark
identifies processes that were started but not recorded because the lab was killed in between. Processes are never
identified by their program's name.
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
"""The environment variable that identifies the owner of a process."""

END_SECONDS = 20.0
"""How long a process and its children, which may be those of a whole node, may take to end after SIGKILL."""

FORK_SECONDS = 10.0

_DRAFT = "starting"
"""The content of a record before the process has a pid. It is left if the lab is killed in between."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH of the processes."""


@dataclass(frozen=True)
class Process:
    """A process, identified by its pid and start time.

    Attributes:
        pid: its pid in the root PID namespace.
        started: its start time, in clock ticks since boot.
        boot: the boot id.
        since: its start time, in seconds since 1970.
    """

    pid: int
    started: int
    boot: str
    since: float

    @property
    def alive(self) -> bool:
        """Return whether it still runs; a zombie does not count."""
        return self.boot == _boot() and _started(self.pid) == self.started


def start(command: Sequence[str], *, record: Path, log: Path, mark: str, forks: bool = False) -> Process:
    """Start a background program in a new session with a minimal environment.

    A process that the record already contains is stopped first.

    Args:
        command: the program and its arguments.
        record: the file to record it in.
        log: the file to which its output is appended.
        mark: a unique path such as "dev/dev-n0/kubelet", which it and its children have in their environment.
        forks: whether the program forks once and waits (nsenter, unshare); then the child is recorded.

    Raises:
        LabError: the program does not exist, or it ended immediately.
    """
    program = shutil.which(command[0], path=PATH)
    if not program:
        raise LabError(f"{command[0]} is not in {PATH}. Fix: install the package that contains it")
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
        raise LabError(f"{command[0]} ended immediately after its start; see {log}.")
    process = Process(pid, started, _boot(), time.time())
    record.write_text(json.dumps(asdict(process)))
    return process


def recorded(file: Path) -> Process | None:
    """Return the recorded process, alive or not, or None if there is no valid record."""
    try:
        return Process(**json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def end(process: Process, *, grace: float = 0.0) -> None:
    """Stop a process and wait until it has ended. Idempotent.

    Args:
        process: the process. Another process with the same pid is left alone.
        grace: seconds between SIGTERM and SIGKILL; 0 sends only SIGKILL.

    Raises:
        LabError: it still existed `END_SECONDS` after SIGKILL.
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
                f"Process {process.pid} still exists {END_SECONDS:.0f} s after SIGKILL; "
                f"`cat /proc/{process.pid}/stack` shows where it blocks."
            )
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def end_marked(mark: str) -> None:
    """Kill every process with this mark or one below it ("dev" includes "dev/dev-n0/kubelet"), and wait for their end.

    Raises:
        LabError: one of them still existed `END_SECONDS` after SIGKILL.
    """
    while found := _marked(mark):
        # Kill all before waiting: a machine's init is gone only after processes outside have reaped their children.
        for process in found:
            _kill(process)
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
            continue  # it has ended, or not even root may read it; then the lab did not start it
        started = _started(int(folder.name))
        if started is not None and any(e == entry or e.startswith(entry + b"/") for e in environment):
            found.append(Process(int(folder.name), started, _boot(), time.time()))
    return found


def _spawn(program: str, command: Sequence[str], log: Path, mark: str) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    # Files that this process inherited, such as the lock of `flock FILE make up`.
    inherited = [opened for each in Path("/proc/self/fd").iterdir() if (opened := int(each.name)) not in (0, 1, 2)]
    return os.posix_spawn(
        program,
        list(command),
        {"PATH": PATH, "HOME": "/root", MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_CLOSE, opened) for opened in inherited),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, and children would inherit this
    )


def _only_child(parent: int, command: Sequence[str], log: Path) -> int:
    def child() -> int | None:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            children = []
        if not children and _started(parent) is None:
            raise LabError(f"{' '.join(command)} ended immediately after its start; see {log}.")
        return int(children[0]) if children else None

    return wait_for(child, f"{command[0]} to fork", log=log, seconds=FORK_SECONDS)


def _is_draft(record: Path) -> bool:
    return record.exists() and record.read_text() == _DRAFT


def _started(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot, or None if it has ended or is a zombie."""
    try:
        # The program's name is in parentheses, and may contain spaces and parentheses.
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
