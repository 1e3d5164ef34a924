"""Warm runs with the real `pulumi` command, of programs that need no provider."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from kube_registry.engine.engine_events import EngineEvent, error_of
from kube_registry.engine.errors import CommandError
from kube_registry.engine.program import Program
from kube_registry.engine.pulumi_process import pulumi_environment
from kube_registry.engine.warm import WarmRuns, warm_runs
from lab.parts import PULUMI
from lab.pulumi_home import variables
from lab.toolchain import build, tool
from tests.fakes.local import until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "kube_registry" / "engine" / "fork_server.py"
IN_VIRTUALENV = "name: tiny\nruntime: {{name: python, options: {{virtualenv: {}}}}}\n"

STACKS = ("one", "two", "three")

pytestmark = pytest.mark.anyio

PROGRAM = """
import os, signal, sys
import pulumi
import registering

signal.signal(signal.SIGINT, signal.SIG_DFL)
mask = os.umask(0)
os.umask(mask)
pulumi.export("stack", pulumi.get_stack())
pulumi.export("seen", registering.SEEN)
pulumi.export("pid", os.getpid())
pulumi.export("folder", os.getcwd())
pulumi.export("umask", mask)
pulumi.export("marked", os.environ.get("MARKED"))
pulumi.export("argv", sys.argv)
"""
REGISTERING = """
import pulumi

SEEN = pulumi.Config().require("greeting")
pulumi.ComponentResource("test:index:Part", SEEN)
"""


class Stacks:
    """A program with file state, and what its runs have printed."""

    def __init__(self, folder: Path, warm: WarmRuns | None) -> None:
        self.program = Program(folder, warm=warm)
        self.events: list[EngineEvent] = []

    async def up(self, name: str) -> dict[str, Any]:
        await self.program.deploy("up", name, "", self.events.append)
        outputs: dict[str, Any] = json.loads(await self.program.run("stack", "output", "--json", stack=name))
        return outputs

    async def parts(self, name: str) -> list[str]:
        resources = await self.program.resources(name)
        return [item["urn"].rpartition("::")[2] for item in resources if item["type"] == "test:index:Part"]

    def shown(self) -> list[tuple[str, str]]:
        """What was printed: kind and text."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return sorted((item["severity"].partition("#")[0], item.get("message", "")) for item in found)


@pytest.fixture(scope="module")
def new_stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with three stacks that nothing was deployed to, and their state."""
    build(PULUMI)
    home = tmp_path_factory.mktemp("new")
    (home / "state").mkdir()
    folder = home / "program"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "registering.py").write_text(REGISTERING)
    env = {**os.environ, **variables(), "PULUMI_BACKEND_URL": f"file://{home}/state"}
    for name in STACKS:
        for words in (["stack", "init", "--no-select"], ["config", "set", "tiny:greeting", f"hello-{name}"]):
            subprocess.run(
                [tool("pulumi"), *words, "--stack", name], cwd=folder, env=env, check=True, capture_output=True
            )
    return home


@pytest.fixture
def folder(new_stacks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the program."""
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/state")
    shutil.copytree(new_stacks, tmp_path, dirs_exist_ok=True)
    return tmp_path / "program"


@pytest.fixture
def cold() -> list[str]:
    """The reasons for cold runs."""
    return []


@pytest.fixture
async def warm(cold: list[str]) -> AsyncIterator[WarmRuns]:
    async with warm_runs(cold.append) as warm:
        yield warm


@pytest.fixture
def stacks(folder: Path, warm: WarmRuns) -> Stacks:
    return Stacks(folder, warm)


def expected(folder: Path, name: str) -> dict[str, Any]:
    """The outputs of a stack that do not change with the process."""
    return {"stack": name, "seen": f"hello-{name}", "folder": str(folder), "argv": ["."]}


async def test_two_stacks_in_turn_do_not_mix(folder: Path, stacks: Stacks, cold: list[str]) -> None:
    pids = set()
    for name in ("one", "two", "one", "two"):
        outputs = await stacks.up(name)
        pids.add(outputs["pid"])
        assert expected(folder, name).items() <= outputs.items()
        assert await stacks.parts(name) == [f"hello-{name}"]
    assert len(pids) == 4
    assert cold == []


async def test_stacks_at_once_do_not_mix(folder: Path, stacks: Stacks, cold: list[str]) -> None:
    names = ("one", "two", "three")
    found = await asyncio.gather(*(stacks.up(name) for name in names))
    for name, outputs in zip(names, found, strict=True):
        assert expected(folder, name).items() <= outputs.items()
        assert await stacks.parts(name) == [f"hello-{name}"]
    assert cold == []


async def test_a_server_that_was_prepared_serves_the_run(folder: Path, stacks: Stacks, cold: list[str]) -> None:
    await stacks.program.warm_up()
    server = server_of(folder)
    await stacks.up("one")
    assert server_of(folder) == server
    assert cold == []


async def test_a_secret_of_the_config_stays_secret(folder: Path, stacks: Stacks, cold: list[str]) -> None:
    await stacks.program.run("config", "set", "--secret", "token", "hidden", stack="one")
    with (folder / "__main__.py").open("a") as file:
        file.write("pulumi.export('token', pulumi.Config().get_secret('token'))\n")
    await stacks.up("one")
    outputs = {}
    for secrets in (False, True):
        [stack] = [
            resource
            for resource in await stacks.program.resources("one", secrets=secrets)
            if resource["type"] == "pulumi:pulumi:Stack"
        ]
        outputs[secrets] = stack["outputs"]["token"]
    assert "plaintext" not in outputs[False]
    assert json.loads(outputs[True]["plaintext"]) == "hidden"
    assert cold == []


async def test_a_preview_is_warm_and_finds_what_an_update_would_change(stacks: Stacks, cold: list[str]) -> None:
    await stacks.program.deploy("preview", "one", "", stacks.events.append)
    changes = [event["summaryEvent"]["resourceChanges"] for event in stacks.events if "summaryEvent" in event]
    assert changes == [{"create": 2}]
    assert cold == []


async def test_environment_and_umask_are_those_of_the_run(stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)
    try:
        monkeypatch.setenv("MARKED", "first")
        first = await stacks.up("one")
        os.umask(0o077)
        monkeypatch.setenv("MARKED", "second")
        second = await stacks.up("one")
        monkeypatch.delenv("MARKED")
        third = await stacks.up("one")
    finally:
        os.umask(before)
    assert [(run["umask"], run.get("marked")) for run in (first, second, third)] == [
        (0o027, "first"),
        (0o077, "second"),
        (0o077, None),
    ]


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


def server_of(folder: Path) -> psutil.Process:
    """The fork server of a program."""
    children = psutil.Process().children()
    [server] = [child for child in children if child.cmdline()[2:4] == [str(SCRIPT), str(folder)]]
    return server


def kept(server: psutil.Process) -> tuple[float, list[str]]:
    """What changes if a server is started again, or executes itself again."""
    return server.create_time(), server.cmdline()[4:]


FAILURES = {
    "exception": "def inner():\n    raise ValueError('not good')\ninner()",
    "RunError": "import pulumi\nraise pulumi.RunError('the reason')",
    "exit status": "import sys\nprint('last words')\nsys.exit(3)",
    "exit without clean-up": "import os\nos._exit(4)",
    "signal": "import os\nos.kill(os.getpid(), 9)",
    "syntax error": "def (",
    "import": "import no_such_module",
    "failed apply": "import pulumi\npulumi.Output.from_input(1).apply(lambda one: one / 0)",
    "output": "import sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)",
    "at exit": (
        "import atexit, sys, threading, time\n"
        "atexit.register(print, 'the last function')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('a thread'))).start()\n"
        "sys.stdout.write('no end of line')"
    ),
    "missing": None,
}


ERRORS = {
    "exception": ["ValueError: not good"],
    "RunError": ["the reason"],
    "syntax error": ["SyntaxError: invalid syntax"],
    "import": ["ModuleNotFoundError: No module named 'no_such_module'"],
    "failed apply": ["ZeroDivisionError: division by zero"],
}
"""The errors that a user sees; the other failures have none."""


@pytest.fixture(scope="module")
async def one_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, WarmRuns, list[str]]]:
    """A folder and its fork server for some tests, and the reasons for cold runs."""
    cold: list[str] = []
    async with warm_runs(cold.append) as warm:
        yield tmp_path_factory.mktemp("program"), warm, cold


@pytest.mark.parametrize("failure", FAILURES)
async def test_what_a_program_prints_and_fails_with_is_shown_as_in_a_cold_run(
    folder: Path, one_server: tuple[Path, WarmRuns, list[str]], failure: str
) -> None:
    shared, warm, cold = one_server
    shutil.copytree(folder, shared, dirs_exist_ok=True)
    folder = shared
    text = FAILURES[failure]
    if text is None:
        (folder / "__main__.py").unlink()
    else:
        (folder / "__main__.py").write_text(text)
    shown = []
    for runs in (warm, None):
        run = Stacks(folder, runs)
        reason = ""
        try:
            await run.up("one")
        except CommandError as error:
            reason = str(error)
        shown.append((reason, run.shown()))
    assert shown[0] == shown[1]
    assert cold == []
    assert shown[0][1]
    if failure in ERRORS:
        assert [found for found in map(error_of, run.events) if found] == ERRORS[failure]


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


def gone(process: psutil.Process) -> bool:
    """Whether it has ended; its parent may not have seen it yet."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


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


async def test_a_server_that_was_killed_is_started_again(folder: Path, stacks: Stacks) -> None:
    await stacks.up("one")
    server = server_of(folder)
    server.kill()
    await until(lambda: gone(server))
    assert (await stacks.up("one"))["stack"] == "one"
    assert (await stacks.up("one"))["stack"] == "one"
    assert server_of(folder).pid != server.pid


async def test_a_run_that_no_fork_server_can_serve_is_cold_and_says_why(
    folder: Path, warm: WarmRuns, cold: list[str], tmp_path: Path
) -> None:
    python = tmp_path / "virtualenv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'no module named pulumi' >&2\nexit 1\n")
    python.chmod(0o755)
    (folder / "Pulumi.yaml").write_text(IN_VIRTUALENV.format(tmp_path / "virtualenv"))
    async with warm.serving(folder, pulumi_environment()) as options:
        assert options == ()
    [reason] = cold
    assert reason.endswith("no module named pulumi")


async def test_a_library_that_starts_a_thread_makes_the_run_cold(folder: Path, warm: WarmRuns, cold: list[str]) -> None:
    for package in (folder / "kube_registry", folder / "components"):
        package.mkdir()
        (package / "__init__.py").touch()
    (folder / "components" / "cluster_registry.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    )
    async with warm.serving(folder, pulumi_environment()) as options:
        assert options == ()
    [reason] = cold
    assert "started a thread" in reason


async def test_a_program_whose_module_hides_a_library_is_cold(
    folder: Path, warm: WarmRuns, cold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (folder / "aiohttp.py").write_text("import pulumi\npulumi.ComponentResource('test:index:Part', 'hidden')\n")
    async with warm.serving(folder, pulumi_environment()) as options:
        assert options == ()
    assert cold == ["cold run: the fork server failed: aiohttp of the program has the name of a library"]


async def test_a_program_may_be_the_checkout_that_the_server_is_a_part_of(
    folder: Path, warm: WarmRuns, cold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("kube_registry", "components"):
        shutil.copytree(ROOT / package, folder / package)
    monkeypatch.setattr("kube_registry.engine.warm._SCRIPT", folder / SCRIPT.relative_to(ROOT))
    async with warm.serving(folder, pulumi_environment()) as options:
        assert len(options) == 1
    assert cold == []


async def test_a_socket_whose_path_is_too_long_makes_the_run_cold(
    folder: Path, cold: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    async with warm_runs(cold.append) as warm, warm.serving(folder, pulumi_environment()) as options:
        assert options == ()
    assert len(cold) == 1


async def test_a_command_that_runs_the_program_twice_is_refused(folder: Path, stacks: Stacks, warm: WarmRuns) -> None:
    async with warm.serving(folder, pulumi_environment()) as client:
        lines: list[str] = []
        with pytest.raises(CommandError):
            await stacks.program.run("up", "--yes", stack="one", client=client, on_line=lines.append)
    assert any("without a preview before the update" in line for line in lines)


async def test_a_fork_is_refused_on_macos(
    folder: Path, warm: WarmRuns, cold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    await warm.prepare(folder, pulumi_environment())
    for _ in range(2):
        async with warm.serving(folder, pulumi_environment()) as options:
            assert options == ()
    assert cold == ["cold run: a fork is not safe on darwin"]
