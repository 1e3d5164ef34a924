"""The stacks of a fleet in fleet.yaml: defaults for all of them, and each stack's own settings.

Every setting may be in the defaults or in a stack; the JSON schema is docs/fleet.schema.json.
"""

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from kube_registry.engine import interpreter
from kube_registry.fleet.entries import Entry, read_entries, read_yaml
from kube_registry.fleet.errors import FleetError
from kube_registry.names import REGISTRYCTL, short_name
from kube_registry.spec.corrections import nearest
from kube_registry.spec.endpoints import PUSH_PORTS
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.renamed import RENAMED, with_new_names
from kube_registry.spec.settings import Settings, described
from kube_registry.text import add_fix

FILE = "fleet.yaml"


@dataclass(frozen=True)
class Member:
    """One stack of a fleet.

    Args:
        name: name of the stack for Pulumi.
        wave: number of its wave; lower ones are rolled out first.
        labels: labels by which it can be selected.
        config: its config with Pulumi's keys: the defaults, overridden by its own.
        settings: the same, validated.
        project: name of the Pulumi project.
    """

    name: str
    wave: int
    labels: Mapping[str, str]
    config: Mapping[str, object]
    settings: Settings
    project: str

    @property
    def short_name(self) -> str:
        """Its name within its project, which is also in the name of its config file."""
        return short_name(self.name)


@dataclass(frozen=True)
class Fleet:
    """The stacks of one rollout.

    Args:
        project: name of the Pulumi project.
        members: by wave, then in the order of the file.
        notes: a sentence for each place that has settings under old names, with the fix.
    """

    project: str
    members: tuple[Member, ...]
    notes: tuple[str, ...] = ()


def read_fleet(folder: Path) -> Fleet:
    """Read the fleet of a program.

    Args:
        folder: folder of the program, with Pulumi.yaml and fleet.yaml.

    Raises:
        FleetError: one of the files is missing or invalid, or two stacks share a name, a config file or a push port.
    """
    project = project_name(folder)
    file = folder / FILE
    if not file.exists():
        prove_own_program(folder)
        raise FleetError(str(file), "", "there is no such file", f"`{REGISTRYCTL} fleet init`")
    written, entries = read_entries(file)
    defaults = _current(file, "defaults", written)
    members = [_member(file, project, defaults, entry) for entry in entries]
    _check_distinct(file, members)
    places = {"defaults": written, **{f"stack {entry.name}": entry.model_extra or {} for entry in entries}}
    notes = (_renaming(file, place, keys) for place, keys in places.items() if RENAMED.keys() & keys.keys())
    return Fleet(project, tuple(sorted(members, key=lambda member: member.wave)), tuple(notes))


def select(fleet: Fleet, stacks: str | None, labels: Mapping[str, str]) -> Fleet:
    """Return the part of a fleet that a glob and labels select.

    Args:
        fleet: the whole fleet.
        stacks: a glob of names; None for any.
        labels: labels that a stack must have.

    Raises:
        FleetError: no stack matches.
    """
    named = [member for member in fleet.members if fnmatch.fnmatchcase(member.name, stacks or "*")]
    matching = tuple(member for member in named if labels.items() <= member.labels.items())
    if not matching:
        wanted = [*([f"name {stacks}"] if stacks else []), *(f"label {key}={value}" for key, value in labels.items())]
        fix = f"choose a stack from `{REGISTRYCTL} fleet list`"
        raise FleetError(FILE, "stacks", f"none has {' and '.join(wanted)}", fix)
    return replace(fleet, members=matching)


def project_name(folder: Path) -> str:
    """Return the name of the Pulumi project in a folder.

    Raises:
        FleetError: there is no project.
    """
    return str(_project(folder)["name"])


def main_folder(folder: Path) -> Path:
    """Return the working directory of a Pulumi program, relative to the folder of its Pulumi.yaml (setting `main`).

    Raises:
        FleetError: there is no program.
    """
    return interpreter.main_folder(folder, _project(folder))


def has_settings_in_config(folder: Path) -> bool:
    """Return whether the Pulumi program in a folder has its settings in the stacks' config, as this repository's has.

    Its Pulumi.yaml then declares them. In any other program they are arguments of a ClusterRegistry, and the config
    belongs to its author, even if a key has the name of a setting.

    Raises:
        FleetError: there is no program.
    """
    declared = _project(folder).get("config")
    keys = {str(key).rpartition(":")[2] for key in declared} if isinstance(declared, Mapping) else set()
    return keys >= {"kubeContext", "images"}


def prove_own_program(folder: Path) -> None:
    """Check that a fleet can be rolled out from a folder.

    Raises:
        FleetError: it has another program than this repository's, or none.
    """
    if not has_settings_in_config(folder):
        problem = "a fleet consists of stacks of kube-registry's own program, and this folder has another one"
        raise FleetError(str(folder / "Pulumi.yaml"), "", problem, "use `pulumi up --stack NAME` for each stack")


def _project(folder: Path) -> Mapping[str, Any]:
    file = folder / "Pulumi.yaml"
    content = read_yaml(file) if file.exists() else None
    if not isinstance(content, Mapping) or not content.get("name"):
        raise FleetError(str(file), "name", "it is missing", "run this in the folder of the program")
    return content


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Override defaults with a stack's own values, map by map and key by key; its key without a value stays empty.

    Args:
        defaults: the values that the stack does not override.
        own: the stack's own values.
    """
    both = {**defaults, **own}
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping):
            both[key] = merged(defaults[key], value)
    return both


def _member(file: Path, project: str, defaults: Mapping[str, Any], entry: Entry) -> Member:
    place = f"stack {entry.name}"
    own = _current(file, place, entry.model_extra or {})
    if entry.name.count("/") == 2 and entry.name.split("/")[1] != project:  # noqa: PLR2004 - organization/project/stack
        raise FleetError(str(file), place, f"it belongs to another project than {project}", "remove it")
    given = merged(defaults, own)
    try:
        settings = Settings.parse(given, project=project, stack=entry.name)
    except SettingsError as error:
        raise FleetError(str(file), place, f"setting {error.key}: {error.problem}", "correct it there") from error
    return Member(entry.name, entry.wave, entry.labels, _config(given, settings), settings, project)


def _config(given: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """Return the settings in the form of Pulumi's config: numbers and booleans as such, strings as written."""
    checked = settings.model_dump(by_alias=True, exclude_unset=True)
    used = {key: value for key, value in given.items() if key in checked and checked[key] not in (None, "", {})}
    is_text = {key: isinstance(value, str) and isinstance(checked[key], str) for key, value in used.items()}
    return {key: value if is_text[key] else checked[key] for key, value in used.items()}


def _current(file: Path, place: str, keys: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings of one place, each under its current name."""
    for key in map(str, keys):
        if key not in described() and key not in RENAMED:
            similar = nearest(key, {**described(), **RENAMED})
            line = _as_yaml(with_new_names({similar: keys[key]})) if similar and similar in RENAMED else similar
            hint = f"write `{line}`" if line else f"use one of {', '.join(described())}"
            raise FleetError(str(file), place, f"there is no setting {key}", hint)
    try:
        return with_new_names(keys)
    except SettingsError as error:
        raise FleetError(str(file), place, f"setting {error.key}: {error.problem}", "remove it there") from error


def _renaming(file: Path, place: str, keys: Mapping[str, object]) -> str:
    """Return a note on the settings under old names in one place, with the fix."""
    old = [key for key in keys if key in RENAMED]
    sections = {RENAMED[key][0] for key in old}
    current = {key: value for key, value in with_new_names(keys).items() if key in sections}
    lines = " and ".join(f"`{_as_yaml({key: value})}`" for key, value in current.items())
    return add_fix(f"{file}, {place}: old names of settings: {', '.join(old)}", f"write {lines} there")


def _as_yaml(settings: Mapping[str, object]) -> str:
    return yaml.safe_dump(settings, default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]


def _check_distinct(file: Path, members: list[Member]) -> None:
    """Check that no two stacks share a name, a config file or a push port.

    Stacks that share a push port cannot be pushed to at once. Names that differ only in case share a config file on
    some machines.
    """
    names: dict[str, str] = {}
    ports: dict[int, str] = {}
    for member in members:
        place, port, file_name = f"stack {member.name}", member.settings.push_port, member.short_name.lower()
        if same := names.get(file_name):
            by_case = ", where file names ignore case" if short_name(same) != member.short_name else ""
            shared = f"its config file Pulumi.{member.short_name}.yaml is also that of stack {same}{by_case}"
            problem = "there are two stacks of that name" if same == member.name else shared
            raise FleetError(str(file), place, problem, "rename one of them")
        if port in ports:
            free = next(free_push_ports(each.settings.push_port for each in members))
            problem = f"push port {port} is also that of stack {ports[port]}"
            raise FleetError(str(file), place, problem, f"write `pushPort: {free}` there, which is free")
        names[file_name] = ports[port] = member.name


def free_push_ports(taken: Iterable[int]) -> Iterator[int]:
    """Return the push ports that are not taken, smallest first."""
    return iter(sorted(set(PUSH_PORTS).difference(taken)))
