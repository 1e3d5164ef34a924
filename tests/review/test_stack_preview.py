"""What Pulumi's preview of one stack becomes, with a script in the place of `pulumi`."""

import asyncio
from pathlib import Path

import pytest

from kube_registry.engine.program import Program
from kube_registry.fleet.fleet_file import Member
from kube_registry.review.errors import PreviewError
from kube_registry.review.stack_preview import CREATED, read_preview
from kube_registry.spec.settings import Settings

MISSING = "[ -e made ] || { echo 'error: no stack named prod found' >&2; exit 255; }"
STEP = '{"resourcePreEvent": {"metadata": {"op": "create", "type": "a:b:C", "urn": "urn:pulumi:p::s::a:b:C::x"}}}'
FAULT = '{"diagnosticEvent": {"severity": "error", "message": "no Docker daemon answers"}}'
SECONDS = 60.0


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Member:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    config: dict[str, object] = {"kubeContext": "kind", "images": {"app": {}}}
    return Member("prod", 1, {}, config, Settings.parse(config, project="shop", stack="prod"), "shop")


def pulumi(folder: Path, preview: str) -> Program:
    stack = f"stackinit) touch made;; stackoutput) {MISSING}; echo '{{}}';;"
    (folder / "pulumi").write_text(f"#!/bin/sh\ncase $1$2 in {stack} config*) {MISSING};; preview*) {preview};; esac\n")
    (folder / "pulumi").chmod(0o755)
    return Program(folder)


@pytest.mark.parametrize("configure", [True, False])
def test_a_stack_that_does_not_exist_yet_is_made(tmp_path: Path, member: Member, *, configure: bool) -> None:
    program = pulumi(tmp_path, f"{MISSING}; echo '{STEP}'")
    preview = asyncio.run(read_preview(program, member, configure=configure, seconds=SECONDS))
    assert [(change.what, change.name) for change in preview.changes] == [(CREATED, "x")]
    assert preview.images == {}


def test_the_error_of_an_event_is_the_reason(tmp_path: Path, member: Member) -> None:
    program = pulumi(tmp_path, f"echo '{FAULT}'; echo 'error: preview failed' >&2; exit 1")
    with pytest.raises(PreviewError, match="no Docker daemon answers"):
        asyncio.run(read_preview(program, member, configure=True, seconds=SECONDS))
