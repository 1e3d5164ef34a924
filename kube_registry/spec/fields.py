"""Declaration of settings, and conversion of their values."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_OF_A_RESOURCE = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
"""A resource request or limit of a container: a quantity (k8s.io/apimachinery, resource.Quantity), not negative."""


def as_text(value: object) -> object:
    """Convert a number or boolean to text; return other values unchanged."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def from_json(value: object) -> object:
    """Parse structured config, which Pulumi passes as JSON text. Values from fleet.yaml and invalid JSON are unchanged.

    Numbers become text as they are written.
    """
    try:
        return json.loads(value, parse_int=str, parse_float=str) if isinstance(value, str) else value
    except ValueError:
        return value


def with_values(section: object) -> object:
    """Remove the keys without a value from a section; a section that is null is empty."""
    if isinstance(section, Mapping):
        return {key: value for key, value in section.items() if value is not None}
    return {} if section is None else section


def with_texts(section: object) -> object:
    """Remove the keys that are null or empty from a section, because both mean "not set"."""
    kept = with_values(section)
    return {key: value for key, value in kept.items() if value != ""} if isinstance(kept, Mapping) else kept


def or_none(section: object) -> object:
    """Do the same, and return None for an empty section: Pulumi.yaml has one as the default of every section."""
    return with_texts(section) or None


Text = Annotated[str, BeforeValidator(as_text)]
"""Text; numbers and booleans are converted."""

_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"

QualifiedName = Annotated[str, Field(pattern=_NAME)]
"""The name of a label or annotation, with an optional prefix (k8s.io/apimachinery, IsQualifiedName)."""

Labels = dict[QualifiedName, Annotated[Text, Field(pattern=_VALUE)]]
"""Labels, with names and values that Kubernetes allows."""

Annotations = dict[QualifiedName, Text]
"""Annotations, with names that Kubernetes allows."""

Quantity = Annotated[Text, Field(pattern=_OF_A_RESOURCE)]
"""A resource quantity, such as 500m or 64Mi."""


def setting(what: str, allowed: str, example: str, *, path: str | None = None, **rest: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Declare a setting, with the texts for documentation and error messages.

    Args:
        what: its description.
        allowed: the values that it allows, in words.
        example: an example value.
        path: property path of the part that has the example value, if the setting has nested fields.
        rest: further arguments of pydantic's Field.
    """
    extra: Any = {"allowed": allowed, "path": path} if path else {"allowed": allowed}
    return Field(description=what, json_schema_extra=extra, examples=[example], **rest)


class Section(BaseModel):
    """A frozen model that rejects unknown keys; keys are snake case in Python and camel case in config."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)
