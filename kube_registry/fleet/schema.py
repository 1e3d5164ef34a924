"""The JSON schema of fleet.yaml, for editors; `make schema` writes it into docs/."""

import json
from collections.abc import Mapping
from pathlib import Path
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

FILE = Path(__file__).parents[2] / "docs" / "fleet.schema.json"


def schema() -> dict[str, Any]:
    """The schema: every setting is optional, in the defaults and below a stack's name."""
    settings, entry = Settings.model_json_schema(), Entry.model_json_schema()
    of_settings = _as_written(settings["properties"]) | {key: _deprecated(new) for key, new in RENAMED.items()}
    stack = {
        "type": "object",
        "required": entry["required"],
        "properties": _as_written(entry["properties"]) | of_settings,
        "additionalProperties": False,
    }
    return {
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


def _deprecated(new: list[str]) -> dict[str, Any]:
    return {"deprecated": True, "description": f"Old name of {'.'.join(new)}."}


def _as_written(schemas: dict[str, Any]) -> dict[str, Any]:
    """Schemas by name, which take what YAML has for them: no value, and numbers and truth values for a text."""
    return {name: _also(_YAML_TYPES, each) for name, each in schemas.items()}


def _also(types: Mapping[str, list[str]], schema: Any) -> Any:  # noqa: ANN401 - a part of a JSON schema
    if isinstance(schema, list):
        return [_also(types, each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    whole = {key: _also(types, each) for key, each in schema.items() if key not in ("examples", "default")}
    kind = schema.get("type")
    return schema | whole | ({"type": types[kind]} if isinstance(kind, str) and kind in types else {})


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
