"""A program that needs no provider, its stacks, and fork servers for it, all with the real `pulumi` command."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from kube_registry.engine.engine_events import EngineEvent
from kube_registry.engine.program import Program
from kube_registry.engine.warm import WarmRuns, warm_runs
from lab.parts import PULUMI
from lab.pulumi_home import variables
from lab.toolchain import build, tool

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "kube_registry" / "engine" / "fork_server.py"
IN_VIRTUALENV = "name: tiny\nruntime: {{name: python, options: {{virtualenv: {}}}}}\n"

STACKS = ("one", "two", "three")

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
        """What was printed: kind and line. Pulumi adds blank lines where output comes late."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        kinds = [(item["severity"].partition("#")[0], item.get("message", "")) for item in found]
        return sorted((kind, line) for kind, text in kinds for line in text.splitlines() if line)


@pytest.fixture(scope="session")
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
        command = [str(tool("pulumi")), "stack", "init", "--no-select", "--stack", name]
        subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
        with (folder / f"Pulumi.{name}.yaml").open("a") as file:
            file.write(f"config: {{tiny:greeting: hello-{name}}}\n")
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


def server_of(folder: Path) -> psutil.Process:
    """The fork server of a program."""
    children = psutil.Process().children()
    [server] = [child for child in children if child.cmdline()[2:4] == [str(SCRIPT), str(folder)]]
    return server


def gone(process: psutil.Process) -> bool:
    """Whether it has ended; its parent may not have seen it yet."""
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True
