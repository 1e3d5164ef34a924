"""The JSON schema of fleet.yaml, for editors: `python -m fleet.schema` writes it into docs/ (`make schema`)."""

import json
from pathlib import Path
from typing import Any

from fleet.inventory import Entry
from stack.settings import Settings

FILE = Path(__file__).parent.parent / "docs" / "fleet.schema.json"


def schema() -> dict[str, Any]:
    """The schema: every setting is optional, in the defaults and beside a stack's name."""
    settings, entry = Settings.model_json_schema(), Entry.model_json_schema()
    of_settings = settings["properties"]
    stack = {
        "type": "object",
        "required": entry["required"],
        "properties": entry["properties"] | of_settings,
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleet.yaml",
        "type": "object",
        "required": ["stacks"],
        "properties": {
            "defaults": {"type": "object", "properties": of_settings, "additionalProperties": False},
            "stacks": {"type": "array", "minItems": 1, "items": stack},
        },
        "additionalProperties": False,
        "$defs": settings["$defs"],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
