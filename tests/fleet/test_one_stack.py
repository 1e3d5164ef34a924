"""One stack's part of a run, with `pulumi` played by a script."""

import json
from pathlib import Path

import pytest

from kube_registry.engine.program import Program
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.one_stack import StackRun, run_stack
from kube_registry.fleet.outcome import Outcome, Result
from kube_registry.spec.settings import Settings

LEAST = {"kubeContext": "prod", "images": {"app": {}}}
ERROR = json.dumps({"diagnosticEvent": {"severity": "error", "message": "the program failed"}})
LOCK = (
    "error: the stack is currently locked by 1 lock(s). x: created by al@elsewhere (pid 4711) at 2026-11-29T09:30:00Z"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def refreshed(folder: Path, *lines: str) -> Outcome:
    """What becomes of a stack whose refresh prints an error as an event, then these lines of a shell's."""
    (folder / "pulumi").write_text("\n".join(["#!/bin/sh", '[ "$1" = refresh ] || exit 0', f"echo '{ERROR}'", *lines]))
    (folder / "pulumi").chmod(0o755)
    settings = Settings.parse(LEAST, project="shop", stack="dev")
    member = Member("dev", 1, {}, LEAST, settings, "shop")
    run = StackRun("refresh", Program(folder), "", None, None, lambda _: None, 0.0, 10.0)
    return await run_stack(run, member)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("error: update failed", "the program failed"),
        (LOCK, "stack dev is locked by al@elsewhere (pid 4711) since 2026-11-29T09:30:00Z. Fix: wait until"),
    ],
)
async def test_the_holder_of_a_lock_goes_before_an_error_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, error: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    outcome = await refreshed(tmp_path, f"echo '{words}' >&2", "exit 255")
    assert outcome.result == Result.FAILED
    assert (outcome.error or "").startswith(error)
