"""Programs that no fork server can serve: their runs are cold, and one line says why."""

import sys
from pathlib import Path

import pytest

from kube_registry.engine.pulumi_process import pulumi_environment
from kube_registry.engine.warm import WarmRuns, warm_runs
from tests.engine.conftest import IN_VIRTUALENV, ROOT

pytestmark = pytest.mark.anyio


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


async def test_a_socket_whose_path_is_too_long_makes_the_run_cold(
    folder: Path, cold: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    async with warm_runs(cold.append) as warm, warm.serving(folder, pulumi_environment()) as options:
        assert options == ()
    assert len(cold) == 1


async def test_a_fork_is_refused_on_macos(
    folder: Path, warm: WarmRuns, cold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    await warm.prepare(folder, pulumi_environment())
    for _ in range(2):
        async with warm.serving(folder, pulumi_environment()) as options:
            assert options == ()
    assert cold == ["cold run: a fork is not safe on darwin"]
