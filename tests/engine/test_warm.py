"""A warm run does what a cold one does: stacks, config, environment, outputs and errors."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kube_registry.engine.engine_events import error_of
from kube_registry.engine.errors import CommandError
from kube_registry.engine.pulumi_process import pulumi_environment
from kube_registry.engine.warm import WarmRuns, warm_runs
from tests.engine.conftest import Stacks

pytestmark = pytest.mark.anyio


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


async def test_lines_that_a_program_prints_at_once_are_few_messages(folder: Path, stacks: Stacks) -> None:
    (folder / "__main__.py").write_text("print(*range(5000), '\\n', 'end', sep='\\n', end='')")
    await stacks.up("one")
    found = [event["diagnosticEvent"] for event in stacks.events if "diagnosticEvent" in event]
    printed = [item["message"] for item in found if item["severity"].startswith("info")]
    assert "".join(printed).split() == [*map(str, range(5000)), "end"]
    assert len(printed) < 500


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


async def test_a_command_that_runs_the_program_twice_is_refused(folder: Path, stacks: Stacks, warm: WarmRuns) -> None:
    async with warm.serving(folder, pulumi_environment()) as client:
        lines: list[str] = []
        with pytest.raises(CommandError):
            await stacks.program.run("up", "--yes", stack="one", client=client, on_line=lines.append)
    assert any("without a preview before the update" in line for line in lines)
