"""The JSON schema of fleet.yaml, for editors: docs/fleet.schema.json."""

import json
from typing import Any

from kube_registry.fleet.entries import Entry
from kube_registry.spec.renamed import RENAMED
from kube_registry.spec.settings import Settings

_YAML_TYPES = {
    "string": ["string", "number", "boolean", "null"],
    "integer": ["integer", "null"],
    "boolean": ["boolean", "integer", "string", "null"],
    "object": ["object", "null"],
}
"""JSON schema type -> types that fleet.yaml accepts for it."""


def schema() -> str:
    """Return the schema as JSON: every setting is optional, in the defaults and in a stack."""
    settings, entry = Settings.model_json_schema(), Entry.model_json_schema()
    setting_properties = _as_written(settings["properties"]) | {key: _deprecated(new) for key, new in RENAMED.items()}
    stack = {
        "type": "object",
        "required": entry["required"],
        "properties": _as_written(entry["properties"]) | setting_properties,
        "additionalProperties": False,
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleet.yaml",
        "type": "object",
        "required": ["stacks"],
        "properties": {
            "defaults": {"type": ["object", "null"], "properties": setting_properties, "additionalProperties": False},
            "stacks": {"type": "array", "minItems": 1, "items": stack},
        },
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        "$defs": _as_written(settings["$defs"]),
    }
    return json.dumps(whole, indent=2) + "\n"


def _deprecated(new: list[str]) -> dict[str, Any]:
    return {"deprecated": True, "description": f"Old name of {'.'.join(new)}."}


def _as_written(schema: Any) -> Any:  # noqa: ANN401 - a JSON schema, a part of one, or several by name
    """Return a schema that also accepts what YAML allows: no value, and numbers and booleans for a string."""
    if isinstance(schema, list):
        return [_as_written(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    whole = {key: _as_written(each) for key, each in schema.items() if key not in ("examples", "default")}
    kind = schema.get("type")
    return schema | whole | ({"type": _YAML_TYPES[kind]} if isinstance(kind, str) and kind in _YAML_TYPES else {})
