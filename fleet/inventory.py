"""The stacks of a fleet, as fleet.yaml lists them."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from stack.settings import Settings


@dataclass(frozen=True)
class Member:
    """One stack of a fleet.

    Args:
        name: of the stack.
        wave: stacks of a lower one are rolled out before it.
        labels: what it can be chosen by.
        config: its config, keys as Pulumi writes them.
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


def read_fleet(folder: Path) -> Fleet:
    """The fleet of the program in a folder."""
    project = str(yaml.safe_load((folder / "Pulumi.yaml").read_text())["name"])
    listed = yaml.safe_load((folder / "fleet.yaml").read_text())
    members = [_member(project, {**listed.get("defaults", {}), **stack}) for stack in listed["stacks"]]
    return Fleet(project, tuple(sorted(members, key=lambda member: member.wave)))


def chosen(fleet: Fleet, stacks: str | None, labels: Mapping[str, str]) -> Fleet:
    """The part of a fleet that a glob and labels choose."""
    members = (member for member in fleet.members if fnmatch.fnmatch(member.name, stacks or "*"))
    return replace(fleet, members=tuple(each for each in members if labels.items() <= each.labels.items()))


def _member(project: str, entry: dict[str, object]) -> Member:
    name, wave, labels = str(entry.pop("name")), int(str(entry.pop("wave", 1))), entry.pop("labels", {})
    assert isinstance(labels, dict)  # noqa: S101 - until the file is validated
    return Member(name, wave, labels, entry, Settings.parse(entry, project=project, stack=name))
