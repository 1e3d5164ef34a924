"""The engine's events, as `pulumi --json` prints them (pulumi/pulumi sdk/go/common/apitype, EngineEvent).

They are read as plain JSON: the Automation API's classes would make up half of this program's imports.
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
_EXCEPTION = re.compile(r"^Program failed with .*^Traceback [^\n]*\n(?: [^\n]*\n)*([^\n]+)", re.DOTALL | re.MULTILINE)
"""What pulumi-language-python-exec prints for an exception; the group is its type and text, without the frames."""

_UNINFORMATIVE = ("an unhandled error occurred: program exited", "update failed", "resource monitor shut down")


def read_event(line: str) -> EngineEvent | None:
    """Return the event in a line that `pulumi --json` has printed; None if the line is something else."""
    try:
        event = read_json(line)
    except ValueError:
        return None
    return event if isinstance(event, Mapping) else None


def step_of(event: EngineEvent) -> Mapping[str, Any]:
    """Return the step that an event announces for a resource; empty if it announces none."""
    return dict(event.get("resourcePreEvent", {}).get("metadata", {}))


def phase_of(event: EngineEvent) -> tuple[Phase, str] | None:
    """Return the phase of an event, and its text in one line; None if it is not worth showing."""
    diagnostic, step = event.get("diagnosticEvent", {}), step_of(event)
    if diagnostic.get("severity", "").startswith("info"):
        text = first_line(diagnostic.get("message", ""))
        build = (Phase.BUILD, text) if text and f"{_IMAGE}::" in diagnostic.get("urn", "") else None
        return read_mark(text) or build
    if step.get("op", "same") != "same":
        return Phase.REGISTRY, f"{step['op']} {step.get('type', '').split(':')[-1]}"
    return None


def error_of(event: EngineEvent) -> str | None:
    """Return the sentence of an error event; None for other events, and for errors that explain nothing."""
    diagnostic = event.get("diagnosticEvent", {})
    if diagnostic.get("severity") != "error":
        return None
    message = diagnostic.get("message", "")
    exception = _EXCEPTION.search(message)
    text = exception[1] if exception else _HOOK.sub("", first_line(message))
    return None if text.startswith(_UNINFORMATIVE) else text


def changes_of(event: EngineEvent) -> dict[str, int]:
    """Return operation -> number of resources; empty if the event is not the summary of a run."""
    counts = event.get("summaryEvent", {}).get("resourceChanges") or {}
    return {kind: count for kind, count in counts.items() if kind != "same"}


def images_of(event: EngineEvent) -> dict[str, str]:
    """Return the pull references by image name; empty if the event has no outputs of the stack."""
    done = event.get("resOutputsEvent", {}).get("metadata", {})
    outputs = (done.get("new") or {}).get("outputs") if done.get("type") == "pulumi:pulumi:Stack" else None
    images = (outputs or {}).get("images")
    return dict(images) if isinstance(images, Mapping) else {}  # secret outputs are a string
