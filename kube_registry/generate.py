"""What settings and errors say of themselves in other files; `make schema` writes it.

Pulumi asks for every key that has no default, so a key that may be left out has an empty one there, which
Settings takes for "not set".
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from pydantic.fields import FieldInfo

from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.schema import schema
from kube_registry.spec.renamed import RENAMED
from kube_registry.spec.settings import described
from kube_registry.text import one_line

ROOT = Path(__file__).parents[1]

ERRORS = (
    "kube_registry.spec.errors",
    "kube_registry.cli.errors",
    "kube_registry.build.errors",
    "kube_registry.docker_daemon.errors",
    "kube_registry.errors",
    "kube_registry.kube.errors",
    "kube_registry.lease.errors",
    "kube_registry.housekeeping.errors",
    "kube_registry.registry.errors",
    "kube_registry.preflight.errors",
    "components.errors",
    "kube_registry.tunnel.errors",
    "kube_registry.fleet.errors",
    "kube_registry.engine.errors",
    "kube_registry.review.errors",
)
"""The files of errors, in the order in which docs/troubleshooting.md has them."""

_YAML_BLOCK = re.compile(r"  # generated settings.*?# end of generated settings\n", re.DOTALL)
_README_BLOCK = re.compile(r"<!-- settings -->.*?<!-- end of settings -->\n", re.DOTALL)
_TROUBLE_BLOCK = re.compile(r"<!-- errors -->.*?<!-- end of errors -->\n", re.DOTALL)
_NOT_SET: dict[str, str | int] = {"string": "", "integer": 0}
_KINDS: dict[object, str] = {int: "integer", bool: "boolean"}


def pulumi_yaml(current: str) -> str:
    """The text of Pulumi.yaml with its generated part made anew.

    Args:
        current: the text as it stands, with the two comment lines that mark the generated part.
    """
    keys = "".join(_key(name, field) for name, field in described().items())
    source = "kube_registry/spec/settings.py is the source, `make schema` writes them"
    block = f"  # generated settings: {source}\n{keys}  # end of generated settings\n"
    return _YAML_BLOCK.sub(lambda _: block, current)


def readme(current: str) -> str:
    """The text of README.md with its table of settings made anew.

    Args:
        current: the text as it stands, with the two comments that mark the table.
    """
    rows = "".join(
        f"| `{name}` | {field.description} | {_shown_default(field)} |\n" for name, field in described().items()
    )
    block = f"<!-- settings -->\n| key | what it is | default |\n|---|---|---|\n{rows}<!-- end of settings -->\n"
    return _README_BLOCK.sub(lambda _: block, current)


def troubleshooting(current: str) -> str:
    """The text of docs/troubleshooting.md with its list of errors made anew.

    Args:
        current: the text as it stands, with the two comments that mark the list.
    """
    entries = "".join(f"**{_what(kind)}**\n\n> {kind(**kind.example)}\n\n" for kind in with_example())
    block = f"<!-- errors -->\n\n{entries}<!-- end of errors -->\n"
    return _TROUBLE_BLOCK.sub(lambda _: block, current)


def _what(kind: type[KubeRegistryError]) -> str:
    """What an error is: its docstring without the fields."""
    return one_line((inspect.getdoc(kind) or "").partition("\n\n")[0])


def with_example() -> Iterator[type[KubeRegistryError]]:
    """The errors that are raised themselves, file by file as they stand there."""
    for module in map(import_module, ERRORS):
        own = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__)
        yield from (kind for kind in own if "example" in vars(kind) and kind is not KubeRegistryError)


def _key(name: str, field: FieldInfo) -> str:
    kind = "object" if name in ("images", "pod", "claim") else _KINDS.get(field.annotation, "string")
    lines = [f"  {name}:", f"    type: {kind}", f"    description: {json.dumps(field.description)}"]
    if name == "pushPort" or not field.is_required():
        # a default of a key that has an old name would look like a value that is set, beside the old one's
        unset = field.is_required() or [name] in RENAMED.values()
        default = {} if kind == "object" else None if unset else field.default
        lines.append(f"    default: {json.dumps(_NOT_SET[kind] if default is None else default)}")
    return "\n".join(lines) + "\n"


def _shown_default(field: FieldInfo) -> str:
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default}`" if isinstance(field.default, str | int) else ""


GENERATED: dict[str, Callable[[str], str]] = {
    "Pulumi.yaml": pulumi_yaml,
    "README.md": readme,
    "docs/troubleshooting.md": troubleshooting,
    "docs/fleet.schema.json": lambda _: schema(),
}
"""File -> what makes it anew from its own text."""

if __name__ == "__main__":
    for name, made_anew in GENERATED.items():
        file = ROOT / name
        file.write_text(made_anew(file.read_text()))
