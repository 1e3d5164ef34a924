"""How the fields of settings are declared, and how their values are read."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_OF_A_RESOURCE = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
"""What a container asks for or may not exceed, as k8s.io/apimachinery's resource.Quantity reads it, not negative."""


def as_text(value: object) -> object:
    """The text of a number or truth value where text is meant; anything else as it is."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def from_json(value: object) -> object:
    """Structured config, which Pulumi passes as JSON text and fleet.yaml as values; what is no JSON stays as it is.

    Numbers keep their own text.
    """
    try:
        return json.loads(value, parse_int=str, parse_float=str) if isinstance(value, str) else value
    except ValueError:
        return value


def with_values(section: object) -> object:
    """A section without the keys that have no value; a section without value is empty."""
    if isinstance(section, Mapping):
        return {key: value for key, value in section.items() if value is not None}
    return {} if section is None else section


def with_texts(section: object) -> object:
    """A section without the keys that have no value or an empty text, which means not set."""
    kept = with_values(section)
    return {key: value for key, value in kept.items() if value != ""} if isinstance(kept, Mapping) else kept


Text = Annotated[str, BeforeValidator(as_text)]
"""What numbers and truth values are taken as where text is meant."""

Quantity = Annotated[Text, Field(pattern=_OF_A_RESOURCE)]
"""A quantity of a resource, such as 500m or 64Mi."""


def setting(what: str, allowed: str, example: str, *, path: str | None = None, **rest: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field that can say what it is, what it takes and how it is set.

    Args:
        what: it is.
        allowed: what it takes.
        example: a value of it.
        path: within a setting with fields of its own, of the part of it that has this value.
        rest: as pydantic's Field takes it.
    """
    extra: Any = {"allowed": allowed, "path": path} if path else {"allowed": allowed}
    return Field(description=what, json_schema_extra=extra, examples=[example], **rest)


class Section(BaseModel):
    """Frozen, strict about names, written in Python's case and read in Pulumi's."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)
