"""One stack's part of a rollout, with a script in the place of `pulumi`; the real one is run in tests/e2e/fleet."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kube_registry.engine.program import Program
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.one_stack import Health, StackRun, run_stack, skip_if_current
from kube_registry.fleet.outcome import Event, Outcome, Result
from kube_registry.spec.phases import Phase
from kube_registry.spec.settings import Settings

pytestmark = pytest.mark.anyio

URN = "urn:pulumi:prod::shop::kube-registry:index:RegistryImage$docker:index/image:Image::app"
STEP = {"diagnosticEvent": {"urn": URN, "message": "Step 1/2 : RUN make\n", "severity": "info"}}
FAULT = {"diagnosticEvent": {"urn": URN, "message": "the build failed\nat its second step", "severity": "error"}}
DONE = {"summaryEvent": {"resourceChanges": {"create": 3, "same": 1}}}
MISSING = "echo \"error: no stack named 'prod' found\" >&2; exit 255"
HOLDER = "created by ada@build-7 (pid 4711) at 2026-11-29T09:30:00Z"
LOCKED = f"error: the stack is currently locked by 1 lock(s). a.json: {HOLDER}"
REFERENCE = "localhost:30100/app:1@sha256:" + "a" * 64
OUTPUTS = {
    "resOutputsEvent": {"metadata": {"type": "pulumi:pulumi:Stack", "new": {"outputs": {"images": {"app": REFERENCE}}}}}
}
LONG_SECONDS = 60.0


class Stack:
    """A stack whose `pulumi` is a script: what it does for which words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.updated_after: list[str] = []
        (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        config: dict[str, object] = {"kubeContext": "kind", "images": {"app": {}}}
        settings = Settings.parse(config, project="shop", stack="prod")
        self.member = Member("prod", 1, {}, config, settings, "shop")
        (folder / "Dockerfile").write_text("FROM scratch\n")
        (folder / ".dockerignore").write_text("said\nmade\npulumi\nPulumi.*\n")

    def on_updated(self) -> None:
        self.updated_after.append(self.events[-1].text)

    def does(self, **scripts: str) -> None:
        cases = "\n".join(f"{word}) {script};;" for word, script in scripts.items())
        (self.folder / "pulumi").write_text(f'#!/bin/sh\necho "$@" >> said\ncase $1 in\n{cases}\nesac\n')
        (self.folder / "pulumi").chmod(0o755)

    def said(self, word: str) -> list[str]:
        lines = (self.folder / "said").read_text().splitlines()
        return [line for line in lines if line.startswith(f"{word} ")]

    def run(self, *, wrong: str | None = None, deadline: float = LONG_SECONDS, grace: float = LONG_SECONDS) -> StackRun:
        async def look(_: Member, images: Mapping[str, str]) -> Health:
            return Health(wrong, tuple(images.values()))

        program = Program(self.folder, grace=grace)
        return StackRun("up", program, "0", look, look, self.events.append, time.monotonic(), deadline)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Stack(tmp_path)


def printing(*events: object) -> str:
    return "".join(f"printf '%s\\n' '{json.dumps(event)}'; " for event in events)


async def test_what_the_engine_says_becomes_phases_changes_and_images(stack: Stack) -> None:
    stack.does(up=printing(STEP, OUTPUTS, DONE))
    outcome = await run_stack(stack.run(), stack.member, stack.on_updated)
    assert (outcome.result, outcome.changes, outcome.images) == (Result.SUCCEEDED, {"create": 3}, {"app": REFERENCE})
    assert outcome.remarks == (REFERENCE,)
    assert [span.phase for span in outcome.spans] == [Phase.WAITING, Phase.REGISTRY, Phase.BUILD, Phase.HEALTH]
    assert stack.events[-1].result is Result.SUCCEEDED
    assert stack.updated_after == ["Step 1/2 : RUN make"]


async def test_an_error_of_the_engine_goes_before_what_pulumi_ends_with(stack: Stack) -> None:
    stack.does(up=f"{printing(FAULT)} echo 'error: update failed' >&2; exit 1")
    assert (await run_stack(stack.run(), stack.member, stack.on_updated)).error == "the build failed"
    assert stack.updated_after == []


async def test_without_one_it_is_what_pulumi_ends_with(stack: Stack) -> None:
    stack.does(config="echo 'warning: old' >&2; echo 'error: a passphrase must be set' >&2; exit 1")
    outcome = await run_stack(stack.run(), stack.member, stack.on_updated)
    assert (outcome.result, outcome.error) == (Result.FAILED, "a passphrase must be set")


async def test_one_that_ends_without_a_word_has_failed(stack: Stack) -> None:
    stack.does(up="exit 1")
    outcome = await run_stack(stack.run(), stack.member, stack.on_updated)
    assert outcome.result is Result.FAILED
    assert "ended with status 1" in str(outcome.error)


async def test_one_that_is_killed_in_the_middle_of_a_line_has_failed(stack: Stack) -> None:
    stack.does(up=f"{printing(STEP)} printf '%s' '{{\"diagnosticEvent\": {{'; kill -KILL $$")
    outcome = await run_stack(stack.run(), stack.member, stack.on_updated)
    assert outcome.result is Result.FAILED
    assert "ended with status -9" in str(outcome.error)


async def test_a_line_in_braces_that_is_no_event_is_passed_over(stack: Stack) -> None:
    stack.does(up=f"echo '{{a program printed this}}'; {printing(DONE)}")
    assert (await run_stack(stack.run(), stack.member, stack.on_updated)).result is Result.SUCCEEDED


async def test_a_stack_that_is_missing_is_made(stack: Stack) -> None:
    stack.does(up=f"[ -e made ] || {{ {MISSING}; }}", stack="touch made")
    assert (await run_stack(stack.run(), stack.member, stack.on_updated)).result is Result.UNCHANGED
    assert len(stack.said("up")) == 2
    assert stack.said("stack") == ["stack init --no-select --stack prod --non-interactive"]


async def test_a_stack_that_is_locked_is_no_fault_of_its_own(stack: Stack) -> None:
    stack.does(up=f'echo "{LOCKED}" >&2; exit 255')
    outcome = await run_stack(stack.run(), stack.member, stack.on_updated)
    assert outcome.result is Result.FAILED
    assert "locked by ada@build-7 (pid 4711) since 2026-11-29T09:30:00Z" in str(outcome.error)
    assert stack.said("cancel") == []


async def test_who_holds_the_lock_goes_before_an_error_of_the_engine(stack: Stack) -> None:
    stack.does(up=f'{printing(FAULT)} echo "{LOCKED}" >&2; exit 255')
    error = str((await run_stack(stack.run(), stack.member, stack.on_updated)).error)
    assert error.startswith(
        "stack prod is locked by ada@build-7 (pid 4711) since 2026-11-29T09:30:00Z. Fix: wait until"
    )


@pytest.mark.parametrize(("release", "lock"), [("exit 0", None), ("exit 1", "pulumi cancel --yes --stack prod")])
async def test_one_that_is_killed_leaves_no_lock_or_the_command_that_releases_it(
    stack: Stack, release: str, lock: str | None
) -> None:
    stack.does(up=f"trap '' INT; {printing(STEP)} while :; do sleep 0.05; done", cancel=release)
    outcome = await run_stack(stack.run(deadline=2, grace=0.1), stack.member, stack.on_updated)
    assert (outcome.result, outcome.lock) == (Result.CANCELLED, lock)
    assert "after 2 s, its deadline, during build (Step 1/2 : RUN make)" in str(outcome.error)
    assert len(stack.said("cancel")) == 1


async def test_one_that_ends_by_itself_has_no_lock_to_release(stack: Stack) -> None:
    stack.does(up="trap 'exit 3' INT; echo '{}'; while :; do sleep 0.05; done", cancel="exit 1")
    begun = asyncio.create_task(run_stack(stack.run(), stack.member, stack.on_updated))
    async with asyncio.timeout(LONG_SECONDS):
        while not (stack.folder / "said").exists() or not stack.said("up"):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    begun.cancel()
    outcome = await begun
    assert (outcome.result, outcome.lock) == (Result.CANCELLED, None)
    assert stack.said("cancel") == []


async def skipped(stack: Stack, message: str, wrong: str | None = None) -> Outcome | None:
    history = json.dumps([{"kind": "update", "result": "succeeded", "message": message}])
    outputs = json.dumps({"images": {"app": REFERENCE}})
    stack.does(stack=f"case $2 in history) echo '{history}';; output) echo '{outputs}';; esac")
    return await skip_if_current(stack.run(wrong=wrong), stack.member)


async def test_a_stack_is_skipped_if_nothing_differs_from_its_last_update_and_all_is_well(stack: Stack) -> None:
    stack.does()
    (stack.folder / "Pulumi.prod.yaml").write_text(json.dumps({"config": {"shop:kubeContext": "kind"}}))
    current = await stack.run().message(stack.member)
    assert await skipped(stack, "by hand") is None
    assert await skipped(stack, current, wrong="its registry is gone") is None
    assert stack.events[-1].text == "not healthy any more: its registry is gone"
    outcome = await skipped(stack, current)
    assert outcome is not None
    assert (outcome.result, outcome.images) == (Result.LEFT_ALONE, {"app": REFERENCE})
