"""Ending `pulumi`, played by a script: by itself, or with force and all that it has started."""

import os
import select
import sys
from pathlib import Path

import pytest
from pulumi import automation

from kube_registry.engine.pulumi_process import HeldCommand

FOUND = automation.PulumiCommand.__new__(automation.PulumiCommand)
"""Stands for a `pulumi` that was found; its own constructor would look for one."""

PLUGIN = "import os, signal; os.setpgid(0, 0); print(os.getpid(), flush=True); signal.pause()"
STUBBORN = f"trap '' INT; python3 -c '{PLUGIN}'"
WILLING = "trap 'echo ended; exit 3' INT; echo begun; while :; do sleep 0.05; done"


def pulumi(folder: Path, script: str, grace: float) -> HeldCommand:
    file = folder / "pulumi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    FOUND.command, FOUND.version = str(file), None
    return HeldCommand(FOUND, grace)


def test_it_is_told_as_by_ctrl_c_and_ends_by_itself(tmp_path: Path) -> None:
    command = pulumi(tmp_path, WILLING, grace=60)
    lines: list[str] = []

    def end(line: str) -> None:
        lines.append(line)
        command.end()

    with pytest.raises(automation.CommandError):
        command.run(["up"], str(tmp_path), {}, end)
    assert lines == ["begun", "ended"]
    assert not command.killed


def test_after_the_grace_it_is_killed_with_plugins_of_other_process_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()  # a slim image has a shell, and no ps
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    command = pulumi(tmp_path, STUBBORN, grace=0.1)
    plugins: list[int] = []

    def end(line: str) -> None:
        plugins.append(int(line))
        command.end()

    with pytest.raises(automation.CommandError):
        command.run(["up"], str(tmp_path), {}, end)
    assert command.killed
    (plugin,) = plugins
    assert not is_running(plugin)


def test_nothing_is_begun_after_the_end(tmp_path: Path) -> None:
    command = pulumi(tmp_path, "touch begun", grace=60)
    command.end()
    with pytest.raises(automation.CommandError):
        command.run(["up"], str(tmp_path), {})
    assert not (tmp_path / "begun").exists()


def is_running(pid: int) -> bool:
    """Whether it is still there in ten seconds: a killed program closes its output before it is gone."""
    try:
        program = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        return not select.select([program], [], [], 10)[0]
    finally:
        os.close(program)
