"""The stacks of a fleet, as fleet.yaml lists them: defaults for all, and for each what is its own.

Every setting may stand in the defaults or below a stack's name; the JSON schema is docs/fleet.schema.json.
"""

import fnmatch
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from kube_registry.fleet.entries import Entry, read_entries, read_yaml
from kube_registry.fleet.errors import FleetError
from kube_registry.names import REGISTRYCTL, short_name
from kube_registry.spec.corrections import nearest
from kube_registry.spec.endpoints import PUSH_PORTS
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.renamed import RENAMED, with_new_names
from kube_registry.spec.settings import Settings, described

FILE = "fleet.yaml"


@dataclass(frozen=True)
class Member:
    """One stack of a fleet.

    Args:
        name: of the stack, as Pulumi takes it.
        wave: stacks of a lower one are rolled out before it.
        labels: what it can be chosen by.
        config: its config, keys as Pulumi writes them, defaults and its own.
        settings: the same, checked.
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
        """Its name within its project, which its config file has."""
        return short_name(self.name)


@dataclass(frozen=True)
class Fleet:
    """The stacks of one rollout.

    Args:
        project: name of the Pulumi project.
        members: by wave, then as they are written.
        notes: a sentence for each place with settings under their old names, with what is to be written there.
    """

    project: str
    members: tuple[Member, ...]
    notes: tuple[str, ...] = ()


def read_fleet(folder: Path) -> Fleet:
    """The fleet of a program.

    Args:
        folder: the program's, with Pulumi.yaml and fleet.yaml.

    Raises:
        FleetError: one of them is missing or wrong, or two stacks have the same name, file or push port.
    """
    project = project_name(folder)
    file = folder / FILE
    if not file.exists():
        prove_own_program(folder)
        raise FleetError(str(file), "", "there is no such file", f"`{REGISTRYCTL} fleet init`")
    written, entries = read_entries(file)
    defaults = _current(file, "defaults", written)
    members = [_member(file, project, defaults, entry) for entry in entries]
    _prove_distinct(file, members)
    places = {"defaults": written, **{f"stack {entry.name}": entry.model_extra or {} for entry in entries}}
    notes = (_renaming(file, place, keys) for place, keys in places.items() if RENAMED.keys() & keys.keys())
    return Fleet(project, tuple(sorted(members, key=lambda member: member.wave)), tuple(notes))


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
        mend = f"choose from what `{REGISTRYCTL} fleet list` shows"
        raise FleetError(FILE, "its stacks", f"none has {' and '.join(asked)}", mend)
    return replace(fleet, members=meant)


def project_name(folder: Path) -> str:
    """The name of the Pulumi project in a folder.

    Raises:
        FleetError: there is none.
    """
    return str(_project(folder)["name"])


def main_folder(folder: Path) -> Path:
    """The folder in which the Pulumi program in a folder runs, relative to that: the one of its `main`.

    Raises:
        FleetError: there is no program.
    """
    main = Path(str(_project(folder).get("main") or ""))
    return main if (folder / main).is_dir() else main.parent


def has_settings_in_config(folder: Path) -> bool:
    """Whether the Pulumi program in a folder has its settings in its stacks' config, as this repository's program has.

    Then its Pulumi.yaml declares them. In any other program they are arguments of a ClusterRegistry, and the config is
    its author's own, even where a key has the name of a setting.

    Raises:
        FleetError: there is no program.
    """
    declared = _project(folder).get("config")
    keys = {str(key).rpartition(":")[2] for key in declared} if isinstance(declared, Mapping) else set()
    return keys >= {"kubeContext", "images"}


def prove_own_program(folder: Path) -> None:
    """Check that a fleet can be rolled out from a folder.

    Raises:
        FleetError: its program is another one, or there is none.
    """
    if not has_settings_in_config(folder):
        problem = "a fleet is made of stacks of kube-registry's own program, and this folder has another one"
        raise FleetError(str(folder / "Pulumi.yaml"), "", problem, "use `pulumi up --stack NAME` for each stack")


def _project(folder: Path) -> Mapping[str, Any]:
    file = folder / "Pulumi.yaml"
    content = read_yaml(file) if file.exists() else None
    if not isinstance(content, Mapping) or not content.get("name"):
        raise FleetError(str(file), "its name", "there is none", "run this in the folder of the program")
    return content


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults with what is a stack's own, map by map and key by key; a key of its own without value stays without.

    Args:
        defaults: what holds where the stack has nothing.
        own: what the stack has.
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
        raise FleetError(str(file), place, f"it is of another project, this one is {project}", "take it out")
    given = merged(defaults, own)
    try:
        settings = Settings.parse(given, project=project, stack=entry.name)
    except SettingsError as error:
        raise FleetError(str(file), place, f"setting {error.key}: {error.problem}", "correct it there") from error
    return Member(entry.name, entry.wave, entry.labels, _config(given, settings), settings, project)


def _config(given: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """What is set, as Pulumi's config has it: numbers and truth values as such, texts as they are written."""
    checked = settings.model_dump(by_alias=True, exclude_unset=True)
    of_stack = {key: value for key, value in given.items() if key in checked and checked[key] not in (None, "", {})}
    is_text = {key: isinstance(value, str) and isinstance(checked[key], str) for key, value in of_stack.items()}
    return {key: value if is_text[key] else checked[key] for key, value in of_stack.items()}


def _current(file: Path, place: str, keys: Mapping[str, object]) -> dict[str, Any]:
    """The settings of one place, each under its present name."""
    for key in map(str, keys):
        if key not in described() and key not in RENAMED:
            meant = nearest(key, {**described(), **RENAMED})
            line = _as_yaml(with_new_names({meant: keys[key]})) if meant and meant in RENAMED else meant
            hint = f"write `{line}`" if line else f"use one of {', '.join(described())}"
            raise FleetError(str(file), place, f"there is no setting {key}", hint)
    try:
        return with_new_names(keys)
    except SettingsError as error:
        raise FleetError(str(file), place, f"setting {error.key}: {error.problem}", "remove it there") from error


def _renaming(file: Path, place: str, keys: Mapping[str, object]) -> str:
    """What is to be written in one place for its settings under old names."""
    old = [key for key in keys if key in RENAMED]
    sections = {RENAMED[key][0] for key in old}
    current = {key: value for key, value in with_new_names(keys).items() if key in sections}
    lines = " and ".join(f"`{_as_yaml({key: value})}`" for key, value in current.items())
    return f"{file}: {place}: {', '.join(old)}: old names of settings. Fix: write {lines} there"


def _as_yaml(settings: Mapping[str, object]) -> str:
    return yaml.safe_dump(settings, default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]


def _prove_distinct(file: Path, members: list[Member]) -> None:
    """Two stacks of one name have one file of config; with one push port they cannot be pushed to at once.

    Names that differ in upper and lower case only have one file on some machines.
    """
    names: dict[str, str] = {}
    ports: dict[int, str] = {}
    for member in members:
        place, port, file_name = f"stack {member.name}", member.settings.push_port, member.short_name.lower()
        if same := names.get(file_name):
            by_case = ", where upper and lower case are one" if short_name(same) != member.short_name else ""
            shared = f"its config is in Pulumi.{member.short_name}.yaml, which stack {same} has, too{by_case}"
            problem = "there are two of that name" if same == member.name else shared
            raise FleetError(str(file), place, problem, "give one of them another name")
        if port in ports:
            free = next(free_push_ports(each.settings.push_port for each in members))
            problem = f"it has push port {port}, which stack {ports[port]} has, too"
            raise FleetError(str(file), place, problem, f"write `pushPort: {free}` below it, which is free")
        names[file_name] = ports[port] = member.name


def free_push_ports(taken: Iterable[int]) -> Iterator[int]:
    """The push ports that are left, smallest first."""
    return iter(sorted(set(PUSH_PORTS).difference(taken)))
