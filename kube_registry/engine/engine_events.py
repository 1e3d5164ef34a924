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
_PUSHING = "Pushing Image to the registry"
"""What the docker provider prints between build and push (pulumi-docker provider/image.go)."""

_HOOK = re.compile(r'^(before|after|error) hook "[^"]*" failed: ')
_EXCEPTION = re.compile(r"^Program failed with .*^Traceback [^\n]*\n(?: [^\n]*\n)*([^\n]+)", re.DOTALL | re.MULTILINE)
"""What pulumi-language-python-exec prints for an exception; the group is its type and text, without the frames."""

_EXITED = "an unhandled error occurred: program exited"
_UNINFORMATIVE = (_EXITED, "update failed", "resource monitor shut down")


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
        phase = Phase.PUSH if text == _PUSHING else Phase.BUILD
        return read_mark(text) or ((phase, text) if text and is_image(diagnostic.get("urn", "")) else None)
    if step.get("op", "same") != "same":
        return Phase.REGISTRY, f"{step['op']} {step.get('type', '').split(':')[-1]}"
    return None


def error_text(event: EngineEvent) -> str | None:
    """Return the whole text of an error event; None for other events, and for errors that explain nothing."""
    diagnostic = event.get("diagnosticEvent", {})
    if diagnostic.get("severity") != "error":
        return None
    text = _HOOK.sub("", diagnostic.get("message", "").strip())
    return None if text.startswith(_UNINFORMATIVE) else text


def error_of(event: EngineEvent) -> str | None:
    """Return the sentence of an error event; for an exception of the program, its type and text; None as above."""
    text = error_text(event)
    if text is None:
        return None
    exception = _EXCEPTION.search(text)
    return exception[1] if exception else first_line(text)


def is_image(urn: str) -> bool:
    """Return whether a URN is that of an image that the docker provider builds."""
    return f"{_IMAGE}::" in urn


def output_of(event: EngineEvent) -> tuple[str, str] | None:
    """Return what was printed, after the URN of the image whose build has printed it; None for other events.

    The URN is empty for what the program has printed, and for how it has ended.
    """
    diagnostic = event.get("diagnosticEvent", {})
    urn, text = diagnostic.get("urn", ""), diagnostic.get("message", "").strip("\r\n")
    printed = diagnostic.get("severity", "").startswith("info") and text and not read_mark(text)
    return (urn, text) if (printed and (not urn or is_image(urn))) or text.startswith(_EXITED) else None


def warning_of(event: EngineEvent) -> tuple[str, str] | None:
    """Return the URN and the first line of a warning about a resource; None for other events."""
    diagnostic = event.get("diagnosticEvent", {})
    urn, text = diagnostic.get("urn", ""), first_line(diagnostic.get("message", ""))
    return (urn, text) if diagnostic.get("severity") == "warning" and urn and text else None


def failed_step_of(event: EngineEvent) -> str:
    """Return the URN of a resource whose step has failed; empty for other events."""
    return str((event.get("resOpFailedEvent", {}).get("metadata") or {}).get("urn", ""))


def resource_of(event: EngineEvent) -> Mapping[str, Any]:
    """Return a resource after its step, in the form of a state with secrets left out; empty for other events."""
    return dict((event.get("resOutputsEvent", {}).get("metadata") or {}).get("new") or {})


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
