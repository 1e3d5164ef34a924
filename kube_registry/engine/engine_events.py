"""The engine's events, as `pulumi --json` prints them (pulumi/pulumi sdk/go/common/apitype, EngineEvent).

They are read as the JSON that they are: the Automation API's classes would be half of what this program imports.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from kube_registry.foreign_json import read_json
from kube_registry.spec.phases import Phase, read_mark
from kube_registry.text import first_line

EngineEvent: TypeAlias = Mapping[str, Any]

_IMAGE = "docker:index/image:Image"
_HOOK = re.compile(r'^(before|after|error) hook "[^"]*" failed: ')
_SAYS_NOTHING = ("an unhandled error occurred: program exited", "update failed", "resource monitor shut down")


def read_event(line: str) -> EngineEvent | None:
    """The event that `pulumi --json` has printed as a line; None if the line is something else."""
    try:
        event = read_json(line)
    except ValueError:
        return None
    return event if isinstance(event, Mapping) else None


def step_of(event: EngineEvent) -> Mapping[str, Any]:
    """The step that is about to be taken with a resource; empty if the event is none."""
    return dict(event.get("resourcePreEvent", {}).get("metadata", {}))


def phase_of(event: EngineEvent) -> tuple[Phase, str] | None:
    """The phase that an event belongs to, and what it says in one line; None if it is of no interest."""
    diagnostic, step = event.get("diagnosticEvent", {}), step_of(event)
    if diagnostic.get("severity", "").startswith("info"):
        text = first_line(diagnostic.get("message", ""))
        of_build = (Phase.BUILD, text) if text and f"{_IMAGE}::" in diagnostic.get("urn", "") else None
        return read_mark(text) or of_build
    if step.get("op", "same") != "same":
        return Phase.REGISTRY, f"{step['op']} {step.get('type', '').split(':')[-1]}"
    return None


def error_of(event: EngineEvent) -> str | None:
    """The sentence of an error, if an event is one."""
    diagnostic = event.get("diagnosticEvent", {})
    if diagnostic.get("severity") != "error":
        return None
    text = _HOOK.sub("", first_line(diagnostic.get("message", "")))
    return None if text.startswith(_SAYS_NOTHING) else text


def changes_of(event: EngineEvent) -> dict[str, int]:
    """Operation -> number of resources; empty if the event is no summary of a run."""
    counts = event.get("summaryEvent", {}).get("resourceChanges") or {}
    return {kind: count for kind, count in counts.items() if kind != "same"}


def images_of(event: EngineEvent) -> dict[str, str]:
    """The pull references by the images' names; empty if the event has no outputs of the stack."""
    done = event.get("resOutputsEvent", {}).get("metadata", {})
    outputs = (done.get("new") or {}).get("outputs") if done.get("type") == "pulumi:pulumi:Stack" else None
    images = (outputs or {}).get("images")
    return dict(images) if isinstance(images, Mapping) else {}  # secret outputs are a text
