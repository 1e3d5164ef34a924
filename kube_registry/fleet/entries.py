"""The content of fleet.yaml before it becomes settings: defaults, and an entry for each stack."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.text_yaml import load
from kube_registry.spec.corrections import nearest
from kube_registry.spec.fields import Text, with_values

_PART = r"[A-Za-z0-9_.-]{1,100}"
STACK_NAME = rf"^({_PART}/){{0,2}}{_PART}$"
"""What Pulumi accepts as a stack name, including organization and project.

Source: pulumi/pulumi sdk/go/common/tokens, StackName.
"""

_KNOWN = ("defaults", "stacks")
_CORRECT = "correct it there"
_A_MAP = "it must be a map of settings"


class Entry(BaseModel):
    """A stack in fleet.yaml: these fields, and any setting."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text = Field(
        pattern=STACK_NAME,
        description="Name of the stack, with its organization if that is not your own: prod, acme/prod.",
        json_schema_extra={"allowed": "made of letters, digits and _ . -, as in prod, acme/prod or acme/shop/prod"},
    )
    wave: int = Field(
        default=1,
        ge=1,
        description="Number of the wave. A wave starts after the previous one has succeeded.",
        json_schema_extra={"allowed": "a number from 1"},
    )
    labels: Annotated[dict[Text, Text], BeforeValidator(with_values)] = Field(
        default={},
        description="Labels by which --label selects stacks.",
        json_schema_extra={"allowed": "a map of strings"},
    )


def read_yaml(file: Path) -> object:
    """Return the content of a YAML file; its scalars keep their text.

    Raises:
        FleetError: the file cannot be read.
    """
    try:
        return load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "strerror", None) or str(error)
        raise FleetError(str(file), place, f"it cannot be read: {problem}", _CORRECT) from error


def read_entries(file: Path) -> tuple[Mapping[str, Any], list[Entry]]:
    """Return the defaults of all stacks, and the stacks. Keys that begin with x- are ignored, as in a Compose file.

    Raises:
        FleetError: the file cannot be read or has another form.
    """
    content = read_yaml(file)
    if not isinstance(content, Mapping):
        raise FleetError(str(file), "", "it must be a map with the key stacks", _CORRECT)
    for key in map(str, content):
        if key not in _KNOWN and not key.startswith("x-"):
            similar = nearest(key, _KNOWN)
            fix = f"write `{similar}`" if similar else "use defaults, stacks, or a key that begins with x-"
            raise FleetError(str(file), key, "there is no such key", fix)
    defaults, stacks = with_values(content.get("defaults")), content.get("stacks")
    if not isinstance(defaults, Mapping):
        raise FleetError(str(file), "defaults", f"{defaults!r} is not allowed; {_A_MAP}", _CORRECT)
    if not isinstance(stacks, list) or not stacks:
        found = "it is empty" if not stacks else f"{stacks!r} is not allowed"
        raise FleetError(str(file), "stacks", f"{found}; it must be a list of stacks, each with a name", _CORRECT)
    return defaults, [_entry(file, number, each) for number, each in enumerate(stacks, start=1)]


def _entry(file: Path, number: int, written: object) -> Entry:
    named = isinstance(written, Mapping) and written.get("name")
    place = f"stack {named}" if isinstance(named, str) and named else f"stack number {number}"
    if not isinstance(written, Mapping):
        raise FleetError(str(file), place, f"{written!r} is not allowed; {_A_MAP} and a name", _CORRECT)
    own = {str(key): value for key, value in written.items() if value is not None or key not in Entry.model_fields}
    try:
        return Entry.model_validate(own)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0])
        found = "it is missing" if first["type"] == "missing" else f"{first['input']!r} is not allowed"
        allowed = dict(Entry.model_fields[key].json_schema_extra or {})["allowed"]  # type: ignore[arg-type]
        at = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise FleetError(str(file), place, f"{at}: {found}; it must be {allowed}", _CORRECT) from None
