"""Conversion of pydantic's validation errors into one error message with a fix."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from kube_registry.spec.corrections import Checked, into_section, moved, nearest, removal, renamed, replaced
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.renamed import RENAMED, as_now
from kube_registry.spec.repository import ALLOWED
from kube_registry.text import add_fix

_DOTTED = "there is no such setting; without --path, dots are part of the key"


def first_problem(error: ValidationError, checked: Checked) -> SettingsError:
    """Return the first of pydantic's errors. An unknown setting comes first: it may be a misspelt, "missing" one.

    Args:
        error: all errors.
        checked: the config that was validated.
    """

    def order(each: Any) -> float:  # noqa: ANN401 - pydantic's map
        place = each["loc"]
        is_setting = len(place) == 1 or place[0] in checked.sections
        return len(place) if each["type"] == "extra_forbidden" and is_setting else math.inf

    found: Any = min(error.errors(include_url=False), key=order)
    place = [str(part) for part in found["loc"] if part != "[key]"]
    if place[2:] and place[1] in checked.sections.get(place[0], ()):
        problem, commands = _in_section(found, place, checked)
    elif found["type"] == "extra_forbidden":
        problem, commands = _unknown(place, found["input"], checked)
    elif "[key]" in found["loc"]:
        problem, commands = _refused_name(found), renamed(place, checked)
    else:
        problem = f"{_found(found, place, checked)}; it must be {_allowed(place, checked)}"
        commands = replaced(place, checked)
    key = checked.old_name(place) or ".".join(place)
    return SettingsError(key=key, problem=problem, fix=" and ".join(f"`{each}`" for each in commands))


def refused(place: list[str], why: str, commands: list[str], checked: Checked) -> SettingsError:
    """Return the error for a value that another setting rules out.

    Args:
        place: the setting.
        why: the reason.
        commands: the commands that correct it.
        checked: the config that was validated.
    """
    value: Any = checked.current
    for part in place:
        value = value[part]
    found = _found({"type": "refused", "input": value}, place, checked)
    fix = " and ".join(f"`{each}`" for each in commands)
    return SettingsError(key=checked.old_name(place) or ".".join(place), problem=f"{found}: {why}", fix=fix)


def renamings(checked: Checked) -> Iterator[str]:
    """Yield a message for each setting that uses its old name, with the commands that rename it.

    Args:
        checked: a valid config.
    """
    for key, place in RENAMED.items():
        if key in checked.config:
            commands = moved([key], place, as_now(key, checked.config[key]), checked)
            fix = " and ".join(f"`{each}`" for each in commands)
            yield add_fix(f"setting {key} was renamed to {'.'.join(place)}", fix)


def _found(found: Mapping[str, Any], place: list[str], checked: Checked) -> str:
    if found["type"] == "missing":
        return "it is missing"
    is_secret = (checked.old_name(place) or place[0]) in checked.secret or not checked.field(place[:1]).repr
    return "its value, which is secret, is not allowed" if is_secret else f"{found['input']!r} is not allowed"


def _refused_name(found: Mapping[str, Any]) -> str:
    """Return the problem of an image's name. The name is never secret: it is printed as the key, too."""
    why = f": {found['ctx']['error']}" if found["type"] == "value_error" else f"; it must consist of {ALLOWED}"
    return f"{found['input']!r} is not allowed as an image name{why}"


def _allowed(place: list[str], checked: Checked) -> str:
    match place:
        case ["images", _, "buildArgs", _]:
            return "a string"
        case ["images", _]:
            return f"a map of {', '.join(checked.of_image)}"
    return str(dict(checked.field(place).json_schema_extra or {})["allowed"])  # type: ignore[arg-type]


def _in_section(found: Mapping[str, Any], place: list[str], checked: Checked) -> tuple[str, list[str]]:
    """Return the problem of a nested value in a section, and the commands that set the whole field to an example.

    Of a namespace's claim, only this one is replaced: without the others, an update would delete them.
    """
    what = "there is no such field" if found["type"] == "extra_forbidden" else _found(found, place, checked)
    commands = replaced(place[:2], checked)
    if place[:2] == ["sharedVolume", "claims"]:
        commands = [removal(place), commands[-1]]
    return f"{what}; {place[1]} must be {_allowed(place[:2], checked)}", commands


def _unknown(place: list[str], value: object, checked: Checked) -> tuple[str, list[str]]:
    """Return the problem of an unknown key, and the commands that set the key that was probably meant."""
    known, _ = checked.level(place)
    *above, name = place
    if not above and name.startswith("images.") and name.count(".") > 1:
        return _DOTTED, moved(place, name.split("."), value, checked)
    if not above and (part := re.match(r"(\w+)\.(\w+)", name)) and part[2] in checked.sections.get(part[1], ()):
        return _DOTTED, into_section(place, name.split("."), value, checked)
    old = {} if above else RENAMED
    meant = nearest(name, {**known, **old})
    if meant is None:
        return f"there is no such setting; the settings are {', '.join(known)}", [removal(place)]
    value = as_now(meant, value) if meant in old else value
    commands = moved(place, old.get(meant, [*above, meant]), value, checked)
    return f"there is no such setting; the most similar one is {'.'.join(old.get(meant, [meant]))}", commands
