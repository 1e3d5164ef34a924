"""Ending `pulumi`, played by a script: by itself, or with force and all that it has started."""

import asyncio
import os
import select
import sys
from pathlib import Path

import pytest

from kube_registry.engine.errors import ProgramError
from kube_registry.engine.pulumi_process import run_pulumi
from kube_registry.limits import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio

PLUGIN = "import os, signal; os.setpgid(0, 0); print(os.getpid(), flush=True); signal.pause()"
STUBBORN = f"trap '' INT; python3 -c '{PLUGIN}'"
WILLING = "trap 'echo ended >&3; exit 3' INT; echo begun; while :; do sleep 0.05; done"
LONG = 300_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pulumi(folder: Path, script: str) -> list[str]:
    file = folder / "pulumi"
    file.write_text(f"#!/bin/sh\nexec 3>{folder}/said\n{script}\n")
    file.chmod(0o755)
    return [str(file)]


class Cancelling:
    """Cancels the run with its first line, and again while it is ending."""

    def __init__(self, times: int = 1) -> None:
        self.lines: list[str] = []
        self._times = times
        self._task = asyncio.current_task()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        for turn in range(self._times):
            asyncio.get_running_loop().call_later(0.1 * turn, self._cancel)

    def _cancel(self) -> None:
        assert self._task
        self._task.cancel()


async def test_its_lines_come_while_it_runs_however_long_they_are(tmp_path: Path) -> None:
    lines: list[str] = []

    def answer(line: str) -> None:
        lines.append(line)
        (tmp_path / "answer").touch()

    script = (
        f"head -c {LONG} /dev/zero | tr '\\0' x; echo; until [ -e answer ]; do sleep 0.01; done; echo error >&2; exit 3"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        ended = await run_pulumi(pulumi(tmp_path, script), tmp_path, on_line=answer)
    assert lines == ["x" * LONG]
    assert (ended.status, ended.words) == (3, "error")


@pytest.mark.parametrize("times", [1, 2])
async def test_it_gets_one_sigint_and_ends_by_itself(tmp_path: Path, times: int) -> None:
    heard = Cancelling(times)
    with pytest.raises(asyncio.CancelledError):
        await run_pulumi(pulumi(tmp_path, WILLING), tmp_path, on_line=heard, grace=60)
    assert heard.lines == ["begun"]
    assert (tmp_path / "said").read_text() == "ended\n"


async def test_its_deadline_ends_it_the_same_way(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await run_pulumi(pulumi(tmp_path, WILLING), tmp_path, grace=60)
    assert (tmp_path / "said").read_text() == "ended\n"


async def test_one_that_ends_slowly_is_waited_for_however_often_that_is_cancelled(tmp_path: Path) -> None:
    slowly = WILLING.replace("trap 'echo", "trap 'sleep 1; echo")
    with pytest.raises(asyncio.CancelledError):
        await run_pulumi(pulumi(tmp_path, slowly), tmp_path, on_line=Cancelling(3), grace=60)
    assert (tmp_path / "said").read_text() == "ended\n"


async def test_after_the_grace_it_is_killed_with_plugins_of_other_process_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()  # a slim image has a shell, and no ps
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    heard, running = Cancelling(), list[bool]()

    async def look() -> None:
        running.append(await asyncio.to_thread(is_running, int(heard.lines[0])))

    with pytest.raises(asyncio.CancelledError):
        await run_pulumi(pulumi(tmp_path, STUBBORN), tmp_path, on_line=heard, grace=0.1, when_killed=look)
    assert running == [False]


async def test_a_reader_that_fails_ends_it_too(tmp_path: Path) -> None:
    def fail(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await run_pulumi(pulumi(tmp_path, WILLING), tmp_path, on_line=fail, grace=60)
    assert (tmp_path / "said").read_text() == "ended\n"


async def test_one_that_cannot_be_run_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="Permission denied"):
        await run_pulumi([str(tmp_path)], tmp_path)


def is_running(pid: int) -> bool:
    """Whether it is still there in ten seconds: a killed program closes its output before it is gone."""
    try:
        program = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        end = select.poll()  # select() takes no file number above 1023
        end.register(program, select.POLLIN)
        return not end.poll(10_000)
    finally:
        os.close(program)
