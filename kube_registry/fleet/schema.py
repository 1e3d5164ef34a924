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
"""JSON schema's types -> those that are taken for them in fleet.yaml."""


def schema() -> str:
    """The schema as JSON: every setting is optional, in the defaults and below a stack's name."""
    settings, entry = Settings.model_json_schema(), Entry.model_json_schema()
    of_settings = _as_written(settings["properties"]) | {key: _deprecated(new) for key, new in RENAMED.items()}
    stack = {
        "type": "object",
        "required": entry["required"],
        "properties": _as_written(entry["properties"]) | of_settings,
        "additionalProperties": False,
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleet.yaml",
        "type": "object",
        "required": ["stacks"],
        "properties": {
            "defaults": {"type": ["object", "null"], "properties": of_settings, "additionalProperties": False},
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
    """A schema that takes what YAML has for it, too: no value, and numbers and truth values for a text."""
    if isinstance(schema, list):
        return [_as_written(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    whole = {key: _as_written(each) for key, each in schema.items() if key not in ("examples", "default")}
    kind = schema.get("type")
    return schema | whole | ({"type": _YAML_TYPES[kind]} if isinstance(kind, str) and kind in _YAML_TYPES else {})
