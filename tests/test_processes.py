"""Programs that end, that do not, and that leave others behind."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from kube_registry.concurrency import poll
from kube_registry.processes import run, started

pytestmark = pytest.mark.anyio
LONG_SECONDS = 30.0


async def gone(file: Path) -> bool:
    """Whether the process whose id a program has written into a file is no more."""
    text = await poll(lambda: asyncio.to_thread(_content, file), seconds=LONG_SECONDS, pause=0.02)
    stat = Path("/proc", str(text), "stat")
    return await poll(lambda: asyncio.to_thread(_ended, stat), seconds=LONG_SECONDS, pause=0.02) is True


def _content(file: Path) -> str | None:
    return file.read_text().strip() or None if file.exists() else None


def _ended(stat: Path) -> bool | None:
    try:
        return stat.read_text().split()[2] == "Z" or None
    except OSError:
        return True


async def test_what_it_writes_and_how_it_ends(tmp_path: Path) -> None:
    ended = await run(
        "sh", "-c", 'pwd; echo "$A" >&2; echo more >&2; exit 3', cwd=tmp_path, env={"A": "b"}, seconds=LONG_SECONDS
    )
    assert (ended.status, ended.out.decode().strip(), ended.words) == (3, str(tmp_path), "b more")


async def test_one_that_is_missing_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        await run("no-such-program", seconds=LONG_SECONDS)


async def test_one_that_takes_too_long_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    file = tmp_path / "child"
    with pytest.raises(TimeoutError):
        await run("sh", "-c", f"sleep 60 & echo $! > {file}; wait", seconds=1.0)
    assert await gone(file)


async def test_so_is_one_whose_child_alone_keeps_the_output_open(tmp_path: Path) -> None:
    file = tmp_path / "child"
    with pytest.raises(TimeoutError):
        await run("sh", "-c", f"sleep 60 & echo $! > {file}", seconds=1.0)
    assert await gone(file)


async def test_one_that_ends_as_its_block_does_keeps_its_exit_status(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(60):  # one in six was reaped twice
        async with started("sh", "-c", "exit 3", session=False, sign=signal.SIGTERM) as process:
            assert process.stdout
            await process.stdout.read()
        assert process.returncode in (3, -signal.SIGTERM)
    assert caplog.messages == []


async def test_one_that_outlives_its_block_gets_the_signal(tmp_path: Path) -> None:
    file = tmp_path / "told"
    script = f"trap 'echo $$ > {file}; kill $!; exit 0' TERM; sleep 60 & echo ready; wait"
    async with started("sh", "-c", script, session=False, sign=signal.SIGTERM) as process:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    assert process.returncode == 0
    assert await gone(file)


async def test_no_pipe_outlives_the_block_although_a_process_in_another_session_holds_it() -> None:
    """Otherwise it would be closed by the garbage collector, on an event loop that may have ended."""
    async with started("sh", "-c", "setsid sh -c 'echo $$; exec sleep 60'") as process:
        assert process.stdout
        child = int(await process.stdout.readline())
    try:
        async with asyncio.timeout(LONG_SECONDS / 3):
            assert await process.stdout.read() == b""
    finally:
        os.kill(child, signal.SIGKILL)
