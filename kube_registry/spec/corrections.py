"""The `pulumi config` commands that correct keys of a stack's config."""

import difflib
import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kube_registry.kubeconfig_setting import is_contents
from kube_registry.spec.renamed import RENAMED
from kube_registry.spec.repository import allowed_name


@dataclass(frozen=True)
class Checked:
    """A config under validation, with the settings that exist.

    Args:
        config: key -> value, without the project's name in the keys, structured config as values.
        current: the same, with renamed settings under their new names.
        secret: keys whose values are secret.
        settings: the settings that exist, in camel case.
        of_image: the settings of one image.
        sections: setting with nested fields -> those fields.
    """

    config: Mapping[str, object]
    current: Mapping[str, object]
    secret: Collection[str]
    settings: Mapping[str, FieldInfo]
    of_image: Mapping[str, FieldInfo]
    sections: Mapping[str, Mapping[str, FieldInfo]]

    def level(self, place: list[str]) -> tuple[Mapping[str, FieldInfo], str]:
        """Return the settings at the level of a place, and the name of the setting that contains the place."""
        match place:
            case ["images", _, key, *_]:
                return self.of_image, key
            case [section, key, *_] if section in self.sections:
                return self.sections[section], key
        return self.settings, place[0]

    def has(self, place: list[str]) -> bool:
        """Return whether a place has a value."""
        found: Any = self.current
        for part in place:
            if not isinstance(found, Mapping) or found.get(part) in (None, ""):
                return False
            found = found[part]
        return True

    def field(self, place: list[str]) -> FieldInfo:
        """Return the setting that contains a place; pydantic accepts snake case, too."""
        known, name = self.level(place)
        return known[name if name in known else to_camel(name)]

    def old_name(self, place: list[str]) -> str | None:
        """Return the old key that the value of a place was set with, if any."""
        return next((key for key, new in RENAMED.items() if new == place and key in self.config), None)

    def old_names(self, place: list[str]) -> list[str]:
        """Return the old keys that the value of a place, or parts of it, were set with."""
        return [key for key, new in RENAMED.items() if new[: len(place)] == place and key in self.config]

    def is_given(self, place: list[str]) -> bool:
        """Return whether the config has a value at a place under its own name."""
        return bool(self.config.get(place[0]))


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known key that is most similar to a misspelt one, ignoring case."""
    by_lower = {key.lower(): key for key in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[found[0]] if found else None


def renamed(place: list[str], checked: Checked) -> list[str]:
    """Return the commands that rename an image to an allowed name and keep its settings."""
    images: Any = checked.config["images"]
    return moved(place, ["images", allowed_name(place[1], images)], images[place[1]], checked)


def moved(place: list[str], target: list[str], value: object, checked: Checked) -> list[str]:
    """Return the commands that move a value. A secret is read before it is removed, and not printed."""
    is_secret = place[0] in checked.secret or (target == ["kubeconfig"] and is_contents(str(value)))
    commands = _as_given(place, target, value, checked, is_secret=is_secret)
    return [*commands, removal(place)] if is_secret else [removal(place), *commands]


def into_section(place: list[str], target: list[str], value: object, checked: Checked) -> list[str]:
    """Return the commands that turn a key with dots into a field of a section.

    If its parts are not plain names, the commands set an example value.
    """
    if all(part.isalnum() for part in target):
        return moved(place, target, value, checked)
    return [removal(place), *replaced([target[0], re.split(r"\W", target[1])[0]], checked)]


def replaced(place: list[str], checked: Checked) -> list[str]:
    """Return the commands that set a place to an example value, after removing a value that blocks a map."""
    path = dict(checked.field(place).json_schema_extra or {}).get("path")  # type: ignore[arg-type]
    example = str((checked.field(place).examples or [""])[0])
    if place[0] in checked.sections and path:
        command = f"pulumi config set --path {shlex.quote(f'{place[0]}.{path}')} {example}"
        in_the_way = checked.has(place) and place[1:] != [path]
    else:
        match place:
            case ["images"]:
                inside = ["app", "context"]
            case ["images", _]:
                inside = ["context"]
            case ["images", _, "buildArgs"]:
                inside = ["VERSION"]
            case _:
                inside = []
        command = _set([*place, *inside], example)
        in_the_way = bool(inside) and checked.config.get(place[0]) is not None
    if old := checked.old_name(place):
        return [removal([old]), command]
    return [removal(place), command] if in_the_way else [command]


def removal(place: list[str]) -> str:
    """Return the command that removes a place."""
    return f"pulumi config rm --path {_path(place)}"


def _as_given(
    place: list[str], target: list[str], value: object, checked: Checked, *, is_secret: bool
) -> Iterator[str]:
    """Yield the commands that set a target to the value of a place, or to an example if that value is not valid there.

    A map needs one command for each of its keys.
    """
    match target, value:
        case ((["images", _] | ["images", _, "buildArgs"]), Mapping()) if value:
            lines = [
                line
                for key, each in value.items()
                for line in _as_given([*place, str(key)], [*target, str(key)], each, checked, is_secret=is_secret)
            ]
            yield from lines or _as_given(place, target, {}, checked, is_secret=is_secret)
        case ["images", image, key, *rest], _ if key not in checked.of_image and (
            meant := nearest(key, checked.of_image)
        ):
            yield from _as_given(place, ["images", image, meant, *rest], value, checked, is_secret=is_secret)
        case ["images", _], _:
            yield _set([*target, "context"], ".")
        case _, str() | int() | float() if is_secret:
            yield f"pulumi config get --path {_path(place)} | pulumi config set --secret --path {_path(target)}"
        case _, str() | int() | float() if _fits_a_line(str(value)):
            yield _set(target, value if isinstance(value, str) else json.dumps(value))
        case ["images", _, key, *_], _ if key not in checked.of_image:
            return  # no setting has a similar name
        case _ if not checked.has(target):
            yield from replaced(target, checked)


def _fits_a_line(value: str) -> bool:
    """Return whether a value can be printed in a command and is not parsed as an option by Pulumi."""
    return value != "" and value.isprintable() and not value.startswith("-")


def _set(place: list[str], value: str) -> str:
    return f"pulumi config set --path {_path(place)} {shlex.quote(value)}"


def _path(place: list[str]) -> str:
    """Return the property path for `pulumi config --path`, quoted for a shell if necessary."""
    first, *rest = (part if part.isalnum() else '["' + part.replace('"', '\\"') + '"]' for part in place)
    return shlex.quote(first + "".join(part if part.startswith("[") else f".{part}" for part in rest))
