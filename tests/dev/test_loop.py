"""The loop of a stack with the real `pulumi` command, on a program that needs no provider and no cluster."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kube_registry.build.build import read_build
from kube_registry.cli.dev_targets import target_of
from kube_registry.concurrency import together
from kube_registry.dev import loop as dev_loop
from kube_registry.dev.files import ImageSource
from kube_registry.dev.loop import Loop
from kube_registry.dev.watch import watching
from kube_registry.dev.wish import Wish
from kube_registry.engine.program import Program
from kube_registry.engine.warm import warm_runs
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.sections import ImageSettings
from lab.parts import PULUMI
from lab.pulumi_home import variables
from lab.toolchain import build
from tests.fakes.local import until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]

SECONDS = 60.0

SECONDS_TO_END = 4.0
"""It is two on an idle machine, but these tests share theirs."""

PROGRAM = """
import pathlib, time
import pulumi
import said

pulumi.export("said", said.TEXT)
pulumi.export("stack", pulumi.get_stack())
pathlib.Path(f"running-{pulumi.get_stack()}").touch()
while pathlib.Path("hold").exists():
    time.sleep(0.01)
"""


class Seen:
    """What a loop has printed, and what `pulumi` was asked to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.new = asyncio.Event()

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.new.set()

    async def wait_for(self, number: int) -> str:
        """Return the last line as soon as there are so many."""
        async with asyncio.timeout(SECONDS):
            while len(self.lines) < number:
                self.new.clear()
                await self.new.wait()
        assert len(self.lines) == number, self.lines
        return self.lines[-1]

    def say_in_program(self, text: str) -> None:
        (self.folder / "said.py").write_text(f"TEXT = {text!r}\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    build(PULUMI)
    for name, value in variables().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/state")
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\noptions: {refresh: always}\n")
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "said.py").write_text("TEXT = 'first'\n")
    return folder


@asynccontextmanager
async def developing(folder: Path, *names: str) -> AsyncIterator[tuple[list[Loop], Seen]]:
    """Loops of some stacks that have ended their first update."""
    seen, cold = Seen(folder), list[str]()

    async with warm_runs(cold.append) as warm, watching() as watch, together() as group:
        program = Program(folder, grace=1.0, warm=warm)
        loops = []
        for name in names or ("one",):
            await program.run("stack", "init", "--no-select", stack=name)
            loops.append(Loop(target_of(name, program, configured=False), watch, seen.say, lambda _: None))
        running = [group.create_task(loop.run()) for loop in loops]
        await seen.wait_for(len(loops))
        seen.lines.clear()
        yield loops, seen
        for task in running:
            task.cancel()
    assert [reason for reason in cold if "Pulumi.yaml cannot be read" not in reason] == []


async def said(folder: Path, name: str = "one") -> str:
    outputs = json.loads(await Program(folder).run("stack", "output", "--json", stack=name))
    return str(outputs["said"])


async def until_said(folder: Path, text: str) -> None:
    async with asyncio.timeout(60):
        while await said(folder) != text:
            pass


async def test_edits_lead_to_updates_and_a_file_that_is_no_part_of_the_program_to_none(folder: Path) -> None:
    async with developing(folder) as (_, seen):
        (folder / "notes.md").write_text("not a part")
        for text in ("a", "b", "c"):
            seen.say_in_program(text)
        await until_said(folder, "c")
        seen.say_in_program("d")
        await until_said(folder, "d")
        await seen.wait_for(len(seen.lines) or 1)
        assert [line for line in seen.lines if not line.startswith("said.py: ")] == []


async def test_a_change_within_a_second_to_the_same_length_is_deployed(folder: Path, tmp_path: Path) -> None:
    """Python takes bytecode for valid whose source has the same time, in seconds, and the same length."""
    async with developing(folder):
        for text in ("a", "b"):
            edited = tmp_path / "said.py"
            edited.write_text(f"TEXT = {text!r}\n")
            os.utime(edited, (1, 1))
            edited.replace(folder / "said.py")
            await until_said(folder, text)


async def test_a_change_during_an_update_leads_to_another_one_at_its_end(folder: Path) -> None:
    async with developing(folder) as (_, seen):
        (folder / "running-one").unlink()
        (folder / "hold").touch()
        seen.say_in_program("early")
        await until((folder / "running-one").exists)
        for text in ("late", "latest"):
            seen.say_in_program(text)
        (folder / "hold").unlink()
        await seen.wait_for(2)
        assert await said(folder) == "latest"


async def test_an_error_is_shown_in_full_and_the_next_update_works_and_refreshes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshes = list[bool | None]()
    deploy = Program.deploy

    async def recorded(self: Program, *args: object, **options: object) -> None:
        refreshes.append(options["refresh"])  # type: ignore[arg-type]
        await deploy(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Program, "deploy", recorded)
    async with developing(folder) as (_, seen):
        (folder / "said.py").write_text("TEXT = (\n")
        line, *text = (await seen.wait_for(1)).splitlines()
        assert line.startswith("said.py: failed after ")
        assert "Traceback (most recent call last):" in text
        assert text[-1].startswith("SyntaxError:")
        seen.say_in_program("corrected")
        await seen.wait_for(2)
        assert await said(folder) == "corrected"
        seen.say_in_program("again")
        await seen.wait_for(3)
    assert refreshes == [True, False, True, False]


async def test_a_project_file_that_cannot_be_read_is_an_error_like_any_other(folder: Path) -> None:
    async with developing(folder) as ([loop], seen):
        loop.images = {"app": ImageSource("app", ImageSettings(), "linux/amd64", "urn", None, None)}
        project = (folder / "Pulumi.yaml").read_text()
        (folder / "Pulumi.yaml").write_text("name: [\n")
        assert "Pulumi.yaml" in (await seen.wait_for(1)).splitlines()[-1]
        assert set(loop.images) == {"app"}
        (folder / "Pulumi.yaml").write_text(project)
        seen.say_in_program("corrected")
        await until(lambda: "failed" not in seen.lines[-1])
        assert await said(folder) == "corrected"


async def test_a_program_that_raises_nothing_is_shown_with_what_it_has_printed(folder: Path) -> None:
    async with developing(folder) as (_, seen):
        (folder / "said.py").write_text("import sys\nprint('no such file')\nsys.exit(3)\n")
        _, *text = (await seen.wait_for(1)).splitlines()
        assert text[0] == "no such file"
        assert text[-1].endswith("exit code: 3")


async def test_a_refresh_is_due_after_some_time_and_prints_nothing_if_nothing_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_loop, "REFRESH_SECONDS", 2.0)
    refreshed = asyncio.Event()
    deploy = Program.deploy

    async def recorded(self: Program, *args: object, **options: object) -> None:
        await deploy(self, *args, **options)  # type: ignore[arg-type]
        if options["refresh"]:
            refreshed.set()

    monkeypatch.setattr(Program, "deploy", recorded)
    async with developing(folder) as (_, seen):
        refreshed.clear()
        async with asyncio.timeout(SECONDS):
            await refreshed.wait()
        assert seen.lines == []


async def test_a_key_updates_although_nothing_has_changed(folder: Path) -> None:
    async with developing(folder) as ([loop], seen):
        loop.ask(Wish.REFRESH)
        assert (await seen.wait_for(1)).startswith("refresh: nothing to do")


async def test_the_cluster_is_looked_up_again_by_an_update_that_refreshes(folder: Path) -> None:
    looked_up = list[ClusterAddress]()

    async def look_up(_: str | None) -> ClusterAddress:
        looked_up.append(ClusterAddress(kube_context=f"context-{len(looked_up)}"))
        return looked_up[-1]

    async with developing(folder) as ([loop], seen):
        loop._target = replace(loop._target, address=look_up)
        assert [(await loop.address()).kube_context for _ in range(2)] == ["context-0", "context-0"]
        loop.ask(Wish.REFRESH)
        await seen.wait_for(1)
        assert (await loop.address()).kube_context == "context-1"


@pytest.mark.parametrize("fails", [False, True])
async def test_a_changed_build_argument_leads_to_one_update(folder: Path, *, fails: bool) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\nARG VERSION\n")

    def source(version: str) -> ImageSource:
        settings = ImageSettings.model_validate({"buildArgs": {"VERSION": version}})
        tag = read_build("app", settings, "linux/amd64", folder).tag
        return ImageSource("app", settings, "linux/amd64", "urn", None, tag)

    async def deployed(_: object) -> dict[str, ImageSource]:
        new = source((folder / "version.toml").read_text())
        return {"app": replace(new, tag=source("old").tag) if fails else new}

    (folder / "version.toml").write_text("old")
    async with developing(folder) as ([loop], seen):
        loop._target = replace(loop._target, images=deployed)
        seen.say_in_program("with an image")
        await seen.wait_for(1)
        if fails:
            (folder / "said.py").write_text("TEXT = (\n")
            await seen.wait_for(2)
        (folder / "version.toml").write_text("new")
        number = len(seen.lines)
        assert (await seen.wait_for(number + 1)).startswith("version.toml: ")
        loop.ask(Wish.REFRESH)
        assert (await seen.wait_for(number + 2)).startswith("refresh: ")


async def test_two_stacks_are_updated_at_once(folder: Path) -> None:
    async with developing(folder, "one", "two") as (_, seen):
        for name in ("one", "two"):
            (folder / f"running-{name}").unlink()
        (folder / "hold").touch()
        seen.say_in_program("both")
        await until(lambda: all((folder / f"running-{name}").exists() for name in ("one", "two")))
        (folder / "hold").unlink()
        await seen.wait_for(2)
        assert [await said(folder, name) for name in ("one", "two")] == ["both", "both"]


async def test_a_locked_stack_is_tried_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev_loop, "LOCKED_SECONDS", 0.1)
    async with developing(folder) as (_, seen):
        lock = tmp_path / "state/.pulumi/locks/organization/tiny/one/other.json"
        lock.parent.mkdir(parents=True, exist_ok=True)
        holder = {"pid": os.getpid(), "username": "a", "hostname": "b", "timestamp": "2026-11-29T09:30:00Z"}
        lock.write_text(json.dumps(holder))
        seen.say_in_program("later")
        assert "locked by a@b" in await seen.wait_for(1)
        assert await said(folder) == "first"
        lock.unlink()
        await seen.wait_for(2)
        assert await said(folder) == "later"


async def test_the_end_in_the_middle_of_an_update_leaves_no_lock(folder: Path, tmp_path: Path) -> None:
    async with developing(folder) as (_, seen):
        (folder / "running-one").unlink()
        (folder / "hold").touch()
        seen.say_in_program("never")
        await until((folder / "running-one").exists)
        began = time.monotonic()
    assert time.monotonic() - began < SECONDS_TO_END
    (folder / "hold").unlink()
    assert not list((tmp_path / "state/.pulumi/locks").rglob("*.json"))
    assert await said(folder) == "first"
    await Program(folder).deploy("up", "one", "", lambda _: None)
    assert await said(folder) == "never"


async def test_dev_ends_quietly_when_the_reader_of_its_lines_is_gone(folder: Path, tmp_path: Path) -> None:
    await Program(folder).run("stack", "init", stack="one")
    command = ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m registryctl dev | head -1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "watching" in done.stdout
    assert not list((tmp_path / "state/.pulumi/locks").rglob("*.json"))
