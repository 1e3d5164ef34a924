import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab import processes
from lab.errors import LabError
from lab.processes import Process
from lab.waiting import wait_for

MARK = f"test-{os.getpid()}"


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    processes.end_marked(MARK)


def start(folder: Path, *command: str, name: str = "sleeper", forks: bool = False) -> Process:
    return processes.start(
        command or ("sleep", "600"),
        record=folder / f"{name}.json",
        log=folder / "logs" / f"{name}.log",
        mark=f"{MARK}/{name}",
        forks=forks,
    )


def test_a_process_is_recorded_and_ended(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert processes.recorded(tmp_path / "sleeper.json") == process
    assert process.alive
    processes.end(process)
    processes.end(process)
    assert not process.alive


def test_what_it_says_is_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "sleeper.log"
    start(tmp_path, "sh", "-c", "echo word; echo sigh >&2; exec sleep 600")
    wait_for(lambda: log.read_text() == "word\nsigh\n", "both words", log=log, seconds=10)


def test_its_environment_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somebody/elses")
    environ, log = Path(f"/proc/{start(tmp_path).pid}/environ"), tmp_path / "logs" / "sleeper.log"
    # A program that has just been started has none for a moment: the kernel sets it last.
    wait_for(environ.read_bytes, "its environment", log=log, seconds=10)
    names = {entry.split(b"=")[0] for entry in environ.read_bytes().split(b"\0") if entry}
    assert names == {b"PATH", b"HOME", processes.MARK.encode()}


def test_an_open_file_of_its_parent_is_not_kept_open(tmp_path: Path) -> None:
    """`flock FILE make up` would hold the lock for as long as the lab runs."""
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003 - takes no keyword
        process = start(tmp_path)
        opened = {each.resolve() for each in Path(f"/proc/{process.pid}/fd").iterdir()}
    assert tmp_path / "logs" / "sleeper.log" in opened
    assert tmp_path / "lock" not in opened


def test_a_program_that_forks_is_its_child(tmp_path: Path) -> None:
    process = start(tmp_path, "sh", "-c", "sleep 600; true", forks=True)
    command = Path(f"/proc/{process.pid}/cmdline")
    # A child is a copy of its parent for a moment, until it becomes the program that it was made for.
    wait_for(lambda: command.read_bytes() == b"sleep\x00600\x00", "sleep", log=tmp_path / "sleeper.log", seconds=10)


def test_a_program_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program is not in"):
        start(tmp_path, "no-such-program")


def test_a_program_that_ends_before_it_forks_is_named_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"false ended immediately after its start; see .*/sleeper\.log"):
        start(tmp_path, "false", forks=True)


@pytest.mark.parametrize("other", [{"boot": "an earlier one"}, {"started": 1}])
def test_a_number_that_is_somebody_elses_by_now_is_left_alone(other: dict[str, object], tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        started = processes._started(bystander.pid)
        assert started
        stale = replace(start(tmp_path), **{"pid": bystander.pid, "started": started, **other})  # type: ignore[arg-type]
        (tmp_path / "sleeper.json").write_text(json.dumps(asdict(stale)))
        assert not stale.alive
        start(tmp_path)
        assert bystander.poll() is None
        bystander.kill()


def test_starting_again_ends_what_was_started_before(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    assert (first.alive, second.alive) == (False, True)


def test_a_start_that_was_cut_off_before_it_was_recorded_is_ended_by_the_next(tmp_path: Path) -> None:
    first = start(tmp_path)
    (tmp_path / "sleeper.json").write_text(processes._DRAFT)
    second = start(tmp_path)
    assert (first.alive, second.alive) == (False, True)


def test_a_mark_ends_what_is_below_it_and_their_children_and_nothing_beside_it(tmp_path: Path) -> None:
    parent = start(tmp_path, "sh", "-c", "sleep 600 & wait", name="parent")
    neighbour = processes.start(
        ["sleep", "600"], record=tmp_path / "n.json", log=tmp_path / "n.log", mark=f"{MARK}-neighbour"
    )
    try:
        processes.end_marked(MARK)
        assert not parent.alive
        assert not processes._marked(MARK)
        assert neighbour.alive
    finally:
        processes.end(neighbour)


def test_a_machine_ends_although_one_outside_of_it_is_stopped(tmp_path: Path) -> None:
    """nsenter stops with the program that it waits for, and does not go on with it: it would never reap it."""
    machine = start(tmp_path, "unshare", "--pid", "--fork", "sleep", "600", name="machine", forks=True)
    entered = ("nsenter", f"--target={machine.pid}", "--pid", "--", "sleep", "600")
    inside = start(tmp_path, *entered, name="machine/inside", forks=True)
    (outside,) = {each.pid for each in processes._marked(f"{MARK}/machine/inside")} - {inside.pid}
    os.kill(inside.pid, signal.SIGSTOP)
    state = Path(f"/proc/{outside}/stat")
    wait_for(lambda: ") T " in state.read_text(), "nsenter to stop", log=tmp_path / "machine.log", seconds=10)
    os.kill(inside.pid, signal.SIGCONT)
    processes.end_marked(MARK)
    assert not machine.alive


def test_a_process_that_ignores_sigterm_gets_sigkill(tmp_path: Path) -> None:
    process = start(tmp_path, "sh", "-c", "trap '' TERM; while :; do sleep 600; done")
    os.kill(process.pid, signal.SIGSTOP)
    processes.end(process, grace=0.1)
    assert not process.alive


@pytest.mark.parametrize("content", ["", "{}", "starting", '{"pid": 1}', "[1]"])
def test_a_record_that_cannot_be_read_tells_of_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(content)
    assert processes.recorded(tmp_path / "record.json") is None
