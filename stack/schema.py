"""The config block of Pulumi.yaml, generated from Settings: `python -m stack.schema` writes it (`make schema`).

Pulumi asks for every key that has no default, so a key that may be left out has an empty one there, which
Settings takes for "not set".
"""

import json
import re
from pathlib import Path

from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from stack.settings import Settings

PULUMI_YAML = Path(__file__).parent.parent / "Pulumi.yaml"

_BLOCK = re.compile(r"  # generated settings.*?# end of generated settings\n", re.DOTALL)
_NOT_SET: dict[str, str | int] = {"string": "", "integer": 0}


def pulumi_yaml(current: str) -> str:
    """The text of Pulumi.yaml with its generated part made anew.

    Args:
        current: the text as it stands, with the two comment lines that mark the generated part.
    """
    keys = "".join(_key(to_camel(name), field) for name, field in Settings.model_fields.items())
    source = "stack/settings.py is the source, `make schema` writes them"
    block = f"  # generated settings: {source}\n{keys}  # end of generated settings\n"
    return _BLOCK.sub(lambda _: block, current)


def _key(name: str, field: FieldInfo) -> str:
    kind = "integer" if field.annotation is int else "object" if name == "images" else "string"
    lines = [f"  {name}:", f"    type: {kind}", f"    description: {json.dumps(field.description)}"]
    if name == "pushPort" or not field.is_required():
        default = None if field.is_required() else field.default
        lines.append(f"    default: {json.dumps(default or _NOT_SET[kind])}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PULUMI_YAML.write_text(pulumi_yaml(PULUMI_YAML.read_text()))
