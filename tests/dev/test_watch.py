"""Real events of the file system wake the loops."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube_registry.dev.watch import Watch, watching

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.anyio

SECONDS = 10.0


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    (tmp_path / "app").mkdir()
    async with watching() as watch:
        watch.join("dev")
        watch.want("dev", [tmp_path, tmp_path / "app"])
        await woken(watch)  # it is watched now
        yield watch


async def woken(watch: Watch, stack: str = "dev") -> None:
    async with asyncio.timeout(SECONDS):
        await watch.join(stack).wait()
    watch.join(stack).clear()


async def settle(watch: Watch) -> None:
    """Wait until no event is under way."""
    while True:
        try:
            async with asyncio.timeout(0.4):
                await woken(watch)
        except TimeoutError:
            return


async def test_a_change_wakes_and_a_burst_wakes_once(watch: Watch, tmp_path: Path) -> None:
    await settle(watch)
    for number in range(50):
        (tmp_path / "app" / f"file-{number % 7}").write_text(str(number))
    await woken(watch)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await watch.join("dev").wait()


async def test_every_stack_is_woken(watch: Watch, tmp_path: Path) -> None:
    watch.join("prod")
    watch.want("prod", [tmp_path / "app"])
    await woken(watch, "prod")
    await settle(watch)
    watch.join("prod").clear()
    (tmp_path / "app" / "file").write_text("")
    await woken(watch, "prod")
    await woken(watch, "dev")


async def test_a_folder_that_was_deleted_and_created_again_is_still_watched(watch: Watch, tmp_path: Path) -> None:
    await settle(watch)
    shutil.rmtree(tmp_path / "app")
    (tmp_path / "app").mkdir()
    await woken(watch)
    await settle(watch)
    (tmp_path / "app" / "file").write_text("")
    await woken(watch)


async def test_a_folder_that_was_replaced_by_a_rename_is_still_watched(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "next").mkdir()
    (tmp_path / "app").rename(tmp_path / "old")
    (tmp_path / "next").rename(tmp_path / "app")
    await settle(watch)
    (tmp_path / "app" / "file").write_text("")
    await woken(watch)


async def test_a_folder_that_does_not_exist_yet_is_watched_once_it_is_there(watch: Watch, tmp_path: Path) -> None:
    watch.want("dev", [tmp_path, tmp_path / "later"])
    await settle(watch)
    (tmp_path / "later").mkdir()
    await woken(watch)
    await settle(watch)
    (tmp_path / "later" / "file").write_text("")
    await woken(watch)


async def test_new_folders_wake_the_loop_once_they_are_watched(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    await settle(watch)
    watch.want("dev", [tmp_path, tmp_path / "app", tmp_path / "more"])
    await woken(watch)
    await settle(watch)
    (tmp_path / "more" / "file").write_text("")
    await woken(watch)


LIMITED = """
echo 5 > /proc/sys/user/max_inotify_watches  # of a new user namespace
exec "$0" -c "
import asyncio, sys
from pathlib import Path
from kube_registry.dev.watch import watching

async def main():
    async with watching() as watch:
        watch.join('dev')
        watch.want('dev', Path(sys.argv[1]).iterdir())
        await asyncio.sleep(60)

asyncio.run(main())
" "$1"
"""


def test_a_reached_limit_of_the_system_is_an_error_with_its_fix(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, sys.executable, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1].startswith(
        "kube_registry.dev.errors.WatchError: 20 folders of the program and its build contexts cannot be watched: "
        "OS file watch limit reached. Fix: "
    ), done.stderr
