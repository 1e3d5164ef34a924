"""The stacks of a fleet, as fleet.yaml lists them: defaults for all, and for each what is its own.

Every setting may stand in the defaults or beside a stack's name; the JSON schema is docs/fleet.schema.json.
"""

import difflib
import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stack.endpoints import PUSH_PORTS
from stack.errors import SettingsError
from stack.fleet_errors import FleetError
from stack.settings import Settings, described

FILE = "fleet.yaml"

STACK_NAME = r"^[A-Za-z0-9_.-]{1,100}$"
"""What Pulumi takes as a stack's name (pulumi/pulumi sdk/go/common/tokens, StackName)."""


@dataclass(frozen=True)
class Member:
    """One stack of a fleet.

    Args:
        name: of the stack.
        wave: stacks of a lower one are rolled out before it.
        labels: what it can be chosen by.
        config: its config, keys as Pulumi writes them, defaults and its own.
        settings: the same, checked.
    """

    name: str
    wave: int
    labels: Mapping[str, str]
    config: Mapping[str, object]
    settings: Settings


@dataclass(frozen=True)
class Fleet:
    """The stacks of one rollout.

    Args:
        project: name of the Pulumi project.
        members: by wave, then as they are written.
    """

    project: str
    members: tuple[Member, ...]


class Entry(BaseModel):
    """One stack as it is written: beside these, any setting."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(pattern=STACK_NAME, description="Name of the stack: letters, digits and _ . -")
    wave: int = Field(default=1, ge=1, description="A wave begins when all stacks of the one before are well.")
    labels: dict[str, str] = Field(default={}, description="What --label chooses stacks by.")


class Content(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: dict[str, Any] = {}
    stacks: list[Entry] = Field(min_length=1)


def read_fleet(folder: Path) -> Fleet:
    """The fleet of a program.

    Args:
        folder: the program's, with Pulumi.yaml and fleet.yaml.

    Raises:
        FleetError: one of them is missing or wrong, or two stacks have the same name or push port.
    """
    project = _project(folder)
    file = folder / FILE
    if not file.exists():
        raise FleetError(str(file), "all of it", "it is not there", "`python -m registryctl fleet init` writes one")
    content = _checked(file, _yaml(file))
    members = [_member(file, project, content.defaults, entry) for entry in content.stacks]
    _prove_distinct(file, members)
    return Fleet(project, tuple(sorted(members, key=lambda member: member.wave)))


def chosen(fleet: Fleet, stacks: str | None, labels: Mapping[str, str]) -> Fleet:
    """The part of a fleet that is meant.

    Args:
        fleet: all of it.
        stacks: a glob of names; None for any.
        labels: those that a stack has to have.

    Raises:
        FleetError: no stack is.
    """
    named = [member for member in fleet.members if fnmatch.fnmatchcase(member.name, stacks or "*")]
    meant = tuple(member for member in named if labels.items() <= member.labels.items())
    if not meant:
        asked = [*([f"name {stacks}"] if stacks else []), *(f"label {key}={value}" for key, value in labels.items())]
        mend = "`python -m registryctl fleet list` shows all"
        raise FleetError(FILE, "its stacks", f"none has {' and '.join(asked)}", mend)
    return replace(fleet, members=meant)


def _project(folder: Path) -> str:
    file = folder / "Pulumi.yaml"
    content = _yaml(file) if file.exists() else None
    if not isinstance(content, dict) or "name" not in content:
        mend = "run this in the folder of the program"
        raise FleetError(str(file), "its name", "there is none, or the file is not there", mend)
    return str(content["name"])


def _yaml(file: Path) -> object:
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else "all of it"
        problem = getattr(error, "problem", None) or getattr(error, "strerror", None) or str(error)
        raise FleetError(str(file), place, f"it cannot be read: {problem}", "mend it there") from error


def _checked(file: Path, content: object) -> Content:
    try:
        return Content.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "all of it"
        mend = "it has the keys defaults and stacks, each stack a name and settings (docs/fleet.schema.json)"
        raise FleetError(str(file), place, first["msg"].lower(), mend) from None


def _member(file: Path, project: str, defaults: Mapping[str, Any], entry: Entry) -> Member:
    own = entry.model_extra or {}
    for place, keys in (("defaults", defaults), (f"stack {entry.name}", own)):
        _prove_known(file, place, keys)
    config = {**defaults, **own}
    if isinstance(defaults.get("images"), dict) and isinstance(own.get("images"), dict):
        config["images"] = defaults["images"] | own["images"]
    try:
        settings = Settings.parse(config, project=project, stack=entry.name)
    except SettingsError as error:
        place = f"stack {entry.name}"
        raise FleetError(str(file), place, f"setting {error.key}: {error.problem}", "mend it there") from error
    return Member(entry.name, entry.wave, entry.labels, config, settings)


def _prove_known(file: Path, place: str, keys: Mapping[str, object]) -> None:
    for key in keys:
        if key not in described():
            near = difflib.get_close_matches(key, described(), n=1)
            mend = f"{near[0]} is meant" if near else f"known are {', '.join(described())}"
            raise FleetError(str(file), place, f"there is no setting {key}", mend)


def _prove_distinct(file: Path, members: list[Member]) -> None:
    """Two stacks with one name are one to Pulumi; with one push port they cannot be pushed to at once."""
    names: set[str] = set()
    ports: dict[int, str] = {}
    for member in members:
        place, port = f"stack {member.name}", member.settings.push_port
        if member.name in names:
            raise FleetError(str(file), place, "there are two of that name", "give one of them another")
        if port in ports:
            free = next(_free_ports(members))
            problem = f"it has push port {port}, which stack {ports[port]} has, too"
            raise FleetError(str(file), place, problem, f"write `pushPort: {free}` below it, which is free")
        names.add(member.name)
        ports[port] = member.name


def _free_ports(members: list[Member]) -> Iterator[int]:
    taken = {member.settings.push_port for member in members}
    return (port for port in PUSH_PORTS if port not in taken)
