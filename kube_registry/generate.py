"""Generate the parts of other files that describe settings, commands and errors; `make schema` runs this.

Pulumi requires a value for every key without a default. An optional key therefore has an empty default in Pulumi.yaml,
which Settings reads as "not set".
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from typer.main import get_group
from typer.testing import CliRunner

from kube_registry.cli.verbs import app
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.schema import schema
from kube_registry.spec.renamed import RENAMED
from kube_registry.spec.settings import SECTIONS, described
from kube_registry.text import one_line

ROOT = Path(__file__).parents[1]

ERRORS = {
    "Settings of a stack": ("kube_registry.spec.errors", "kube_registry.cli.errors"),
    "Build context and Docker daemon": ("kube_registry.build.errors", "kube_registry.docker_daemon.errors"),
    "Kubernetes cluster": ("kube_registry.kube.errors", "components.errors"),
    "Registry in the cluster": (
        "kube_registry.registry.errors",
        "kube_registry.preflight.errors",
        "kube_registry.lease.errors",
    ),
    "Shared volume": ("kube_registry.shared_volume.errors",),
    "Tunnel": ("kube_registry.tunnel.errors",),
    "Garbage collection": ("kube_registry.housekeeping.errors",),
    "Updates, fleets and previews": (
        "kube_registry.errors",
        "kube_registry.dev.errors",
        "kube_registry.fleet.errors",
        "kube_registry.engine.errors",
        "kube_registry.review.errors",
    ),
}
"""Heading in docs/troubleshooting.md -> modules whose errors it lists."""

_YAML_BLOCK = re.compile(r"  # generated settings.*?# end of generated settings\n", re.DOTALL)
_SETTINGS_BLOCK = re.compile(r"<!-- settings -->.*?<!-- end of settings -->\n", re.DOTALL)
_COMMANDS_BLOCK = re.compile(r"<!-- commands -->.*?<!-- end of commands -->\n", re.DOTALL)
_TROUBLE_BLOCK = re.compile(r"<!-- errors -->.*?<!-- end of errors -->\n", re.DOTALL)
_NOT_SET: dict[str, str | int] = {"string": "", "integer": 0}
_KINDS: dict[object, str] = {int: "integer", bool: "boolean"}


def pulumi_yaml(current: str) -> str:
    """Return the text of Pulumi.yaml with its generated part updated.

    Args:
        current: the current text, with the two comment lines around the generated part.
    """
    keys = "".join(_key(name, field) for name, field in described().items())
    source = "kube_registry/spec/settings.py is the source, `make schema` writes them"
    block = f"  # generated settings: {source}\n{keys}  # end of generated settings\n"
    return _YAML_BLOCK.sub(lambda _: block, current)


def settings_page(current: str) -> str:
    """Return the text of docs/settings.md with its table of settings updated.

    Args:
        current: the current text, with the two comments around the table.
    """
    rows = "".join(
        f"| `{name}` | {field.description} | {_shown_default(field)} |\n" for name, field in described().items()
    )
    block = f"<!-- settings -->\n| key | what it is | default |\n|---|---|---|\n{rows}<!-- end of settings -->\n"
    return _SETTINGS_BLOCK.sub(lambda _: block, current)


def commands_page(current: str) -> str:
    """Return the text of docs/cli.md with the help of every command updated.

    Args:
        current: the current text, with the two comments around the commands.
    """
    sections = "".join(f"## {name}\n\n```text\n{text.rstrip()}\n```\n\n" for name, text in command_help())
    block = f"<!-- commands -->\n\n{sections}<!-- end of commands -->\n"
    return _COMMANDS_BLOCK.sub(lambda _: block, current)


def command_help(*, old: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each command and the output of its --help.

    Args:
        old: whether to include the old names of commands, which no help lists.
    """

    def pages(command: Any, *words: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - Typer contains its own click
        printed = CliRunner().invoke(app, [*words, "--help"], prog_name="registryctl", terminal_width=100).stdout
        yield " ".join(("registryctl", *words)), printed
        if hasattr(command, "list_commands"):
            for name in [*command.list_commands(None), *(command.old if old else ())]:
                yield from pages(command.get_command(None, name), *words, name)

    return pages(get_group(app))


def troubleshooting(current: str) -> str:
    """Return the text of docs/troubleshooting.md with its list of errors updated.

    Args:
        current: the current text, with the two comments around the list.
    """
    sections = "".join(f"### {heading}\n\n{''.join(map(_entry, with_example([heading])))}" for heading in ERRORS)
    block = f"<!-- errors -->\n\n{sections}<!-- end of errors -->\n"
    return _TROUBLE_BLOCK.sub(lambda _: block, current)


def _entry(kind: type[KubeRegistryError]) -> str:
    """Describe an error: its meaning, an example of its message, and the fix of that example."""
    meaning = one_line((inspect.getdoc(kind) or "").partition("\n\n")[0])
    sentence, *table = str(kind(**kind.example)).splitlines()
    message, fix, correction = sentence.partition("Fix: ")
    paragraphs = [f"**{meaning}**", f"> {message.rstrip()}", *([f"{fix}{correction}"] if fix else [])]
    paragraphs += ["\n".join(["```text", *(line.removeprefix("  ") for line in table), "```"])] if table else []
    return "".join(f"{each}\n\n" for each in paragraphs)


def with_example(headings: Iterable[str] = ERRORS) -> Iterator[type[KubeRegistryError]]:
    """Yield the errors below some headings that have an example, in the order of their definition."""
    for module in map(import_module, (name for heading in headings for name in ERRORS[heading])):
        own = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__)
        yield from (kind for kind in own if "example" in vars(kind) and kind is not KubeRegistryError)


def _key(name: str, field: FieldInfo) -> str:
    kind = "object" if name in ("images", *SECTIONS) else _KINDS.get(field.annotation, "string")
    lines = [f"  {name}:", f"    type: {kind}", f"    description: {json.dumps(field.description)}"]
    if name == "pushPort" or not field.is_required():
        # A default would look like a value that is set in addition to the one under the key's old name.
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
    "docs/settings.md": settings_page,
    "docs/cli.md": commands_page,
    "docs/troubleshooting.md": troubleshooting,
    "docs/fleet.schema.json": lambda _: schema(),
}
"""File -> function that updates its text."""

if __name__ == "__main__":
    for name, updated in GENERATED.items():
        file = ROOT / name
        file.write_text(updated(file.read_text()))
