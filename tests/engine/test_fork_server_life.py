"""What a fork server has loaded, when it is started again, and when its processes end."""

import asyncio
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import psutil
import pytest

from kube_registry.engine.errors import CommandError
from kube_registry.engine.pulumi_process import pulumi_environment
from kube_registry.engine.warm import WarmRuns
from tests.engine.conftest import IN_VIRTUALENV, PROGRAM, REGISTERING, ROOT, SCRIPT, Stacks, gone, server_of
from tests.fakes.local import until

pytestmark = pytest.mark.anyio


async def test_a_server_that_was_prepared_serves_the_run(folder: Path, stacks: Stacks, cold: list[str]) -> None:
    await stacks.program.warm_up()
    server = server_of(folder)
    await stacks.up("one")
    assert server_of(folder) == server
    assert cold == []


LOADED = """
import sys, pulumi
pulumi.export("loaded", sorted(name for name in sys.modules if name.startswith(("components.", "kube_registry."))))
"""


async def test_the_server_has_loaded_the_components_and_has_one_thread(
    folder: Path, stacks: Stacks, cold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (folder / "__main__.py").write_text(LOADED)
    loaded = (await stacks.up("one"))["loaded"]
    assert {"components.registry_image", "components.push_hooks", "kube_registry.push.session"} <= set(loaded)
    assert not [name for name in loaded if name.startswith("kube_registry.engine")]
    assert server_of(folder).num_threads() == 1
    assert cold == []


async def test_a_program_may_be_the_checkout_that_the_server_is_a_part_of(
    folder: Path, warm: WarmRuns, cold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("kube_registry", "components"):
        shutil.copytree(ROOT / package, folder / package)
    monkeypatch.setattr("kube_registry.engine.warm._SCRIPT", folder / SCRIPT.relative_to(ROOT))
    async with warm.serving(folder, pulumi_environment()) as options:
        assert len(options) == 1
    assert cold == []


def kept(server: psutil.Process) -> tuple[float, list[str]]:
    """What changes if a server is started again, or executes itself again."""
    return server.create_time(), server.cmdline()[4:]


async def test_an_edit_of_the_program_is_in_the_next_run_of_the_same_server(folder: Path, stacks: Stacks) -> None:
    await stacks.up("one")
    server = server_of(folder)
    first = kept(server)
    (folder / "registering.py").write_text(REGISTERING.replace("SEEN = ", "SEEN = 'new-' + "))
    assert (await stacks.up("one"))["seen"] == "new-hello-one"
    assert kept(server) == first


async def test_an_edit_of_a_file_that_the_server_has_loaded_starts_it_again(
    folder: Path, stacks: Stacks, cold: list[str]
) -> None:
    """The program is a checkout with kube-registry's components, which the server loads."""
    for package in (folder / "kube_registry", folder / "components"):
        package.mkdir()
        (package / "__init__.py").touch()
    part = folder / "components" / "cluster_registry.py"
    part.write_text("import os\nLOADED = 'old', os.getpid()\n")
    with (folder / "__main__.py").open("a") as file:
        file.write("from components import cluster_registry\n")
        file.write("pulumi.export('loaded', list(cluster_registry.LOADED))\n")
    assert (await stacks.up("one"))["loaded"] == ["old", server_of(folder).pid]
    first = kept(server_of(folder))
    part.write_text("import os\nLOADED = 'edited', os.getpid()\n")
    assert (await stacks.up("one"))["loaded"] == ["edited", server_of(folder).pid]
    again = kept(server_of(folder))
    assert again != first
    assert (await stacks.up("one"))["loaded"] == ["edited", server_of(folder).pid]
    assert kept(server_of(folder)) == again
    assert cold == []


async def test_a_changed_virtualenv_starts_the_server_again(
    folder: Path, stacks: Stacks, cold: list[str], tmp_path: Path
) -> None:
    virtualenv = tmp_path / "virtualenv"
    venv.create(virtualenv)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(virtualenv)}))
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "Pulumi.yaml").write_text(IN_VIRTUALENV.format(virtualenv))
    with (folder / "__main__.py").open("a") as file:
        file.write("pulumi.export('prefix', sys.prefix)\n")
    assert (await stacks.up("one"))["prefix"] == str(virtualenv)
    server = server_of(folder)
    first = kept(server)
    (packages / "installed.dist-info").mkdir()
    await stacks.up("one")
    assert kept(server) != first
    assert cold == []


async def test_a_server_that_was_killed_is_started_again(folder: Path, stacks: Stacks) -> None:
    await stacks.up("one")
    server = server_of(folder)
    server.kill()
    await until(lambda: gone(server))
    assert (await stacks.up("one"))["stack"] == "one"
    assert (await stacks.up("one"))["stack"] == "one"
    assert server_of(folder).pid != server.pid


WAITING = """
import os, pathlib, subprocess, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
child = subprocess.Popen(["sleep", "600"])
pathlib.Path("pids").write_text(f"{os.getpid()} {os.getppid()} {child.pid}")
signal.pause()
"""


@pytest.mark.parametrize("how", ["cancelled", "pulumi killed"])
async def test_the_end_of_a_run_ends_all_its_processes_and_no_other_run(
    folder: Path, stacks: Stacks, cold: list[str], how: str
) -> None:
    await stacks.up("one")
    (folder / "__main__.py").write_text(WAITING)
    run = asyncio.create_task(stacks.up("one"))
    await until((folder / "pids").exists)
    await until(lambda: len((folder / "pids").read_text().split()) == 3)
    processes = [psutil.Process(int(pid)) for pid in (folder / "pids").read_text().split()]
    (folder / "__main__.py").write_text(PROGRAM)
    other = asyncio.create_task(stacks.up("two"))
    if how == "cancelled":
        run.cancel()
    else:
        children = psutil.Process().children()
        [pulumi] = [child for child in children if child.name() == "pulumi" and "one" in child.cmdline()]
        os.kill(pulumi.pid, signal.SIGKILL)
    with pytest.raises((asyncio.CancelledError, CommandError)):
        await run
    await until(lambda: all(gone(process) for process in processes))
    assert (await other)["stack"] == "two"
    assert cold == []


@pytest.mark.usefixtures("stacks")
async def test_no_process_is_left_if_the_owner_of_the_fork_server_is_killed(folder: Path) -> None:
    (folder / "__main__.py").write_text(WAITING)
    script = f"""
import asyncio, pathlib
from kube_registry.engine.program import Program
from kube_registry.engine.pulumi_process import pulumi_environment
from kube_registry.engine.warm import warm_runs

async def main():
    async with warm_runs(print) as warm:
        await Program(pathlib.Path({str(folder)!r}), warm=warm).deploy("up", "one", "", lambda _: None)

asyncio.run(main())
"""
    sockets = tempfile.TemporaryDirectory()  # the owner cannot remove it; the path in tmp_path is too long for a socket
    env = {**os.environ, "TMPDIR": sockets.name}
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=ROOT, env=env)
    try:
        await until((folder / "pids").exists)
        await until(lambda: len((folder / "pids").read_text().split()) == 3)
        own = psutil.Process(owner.pid).children(recursive=True)
        processes = [process for process in own if "python" in process.name() or process.name() == "sleep"]
    finally:
        owner.kill()
    await owner.wait()
    await until(lambda: all(gone(process) for process in processes))
    sockets.cleanup()
    assert len(processes) >= 3
