"""The stacks of a fleet, as values."""

from collections.abc import Mapping
from dataclasses import dataclass

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
