"""What pydantic finds wrong with a stack's config, as one sentence."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from kube_registry.spec.corrections import Checked, into_section, moved, nearest, removal, renamed, replaced
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.renamed import RENAMED, as_now
from kube_registry.spec.repository import ALLOWED

_DOTTED = "there is no such setting, without --path its dots are a part of its name"


def first_problem(error: ValidationError, checked: Checked) -> SettingsError:
    """The first of pydantic's findings; a setting that does not exist goes first, as it may stand for a missing one.

    Args:
        error: all of them.
        checked: the config that they are about.
    """
    found: Any = min(
        error.errors(include_url=False), key=lambda each: (each["type"], len(each["loc"])) != ("extra_forbidden", 1)
    )
    place = [str(part) for part in found["loc"] if part != "[key]"]
    if place[2:] and place[1] in checked.sections.get(place[0], ()):
        problem, commands = _in_section(found, place, checked)
    elif found["type"] == "extra_forbidden":
        problem, commands = _unknown(place, found["input"], checked)
    elif "[key]" in found["loc"]:
        problem, commands = _refused_name(found), renamed(place, checked)
    else:
        problem = f"{_found(found, place, checked)}, it takes {_allowed(place, checked)}"
        commands = replaced(place, checked)
    key = checked.old_name(place) or ".".join(place)
    return SettingsError(key=key, problem=problem, fix=" and ".join(f"`{each}`" for each in commands))


def renamings(checked: Checked) -> Iterator[str]:
    """A sentence for each setting that is given by its old name, with the commands that give it the new one.

    Args:
        checked: a config without faults.
    """
    for key, place in RENAMED.items():
        if key in checked.config:
            commands = moved([key], place, as_now(key, checked.config[key]), checked)
            yield f"setting {key} is named {'.'.join(place)} now. Fix: {' and '.join(f'`{each}`' for each in commands)}"


def _found(found: Mapping[str, Any], place: list[str], checked: Checked) -> str:
    if found["type"] == "missing":
        return "it is missing"
    is_secret = (checked.old_name(place) or place[0]) in checked.secret or not checked.field(place[:1]).repr
    value = "its value, which is secret," if is_secret else repr(found["input"])
    return f"{value} is not allowed"


def _refused_name(found: Mapping[str, Any]) -> str:
    """What is wrong with an image's name, which is in the sentence as the place already and is never secret."""
    why = f": {found['ctx']['error']}" if found["type"] == "value_error" else f", it takes {ALLOWED}"
    return f"{found['input']!r} is not allowed as an image's name{why}"


def _allowed(place: list[str], checked: Checked) -> str:
    match place:
        case ["images", _, "buildArgs", _]:
            return "a text"
        case ["images", _]:
            return f"a map of {', '.join(checked.of_image)}"
    return str(dict(checked.field(place).json_schema_extra or {})["allowed"])  # type: ignore[arg-type]


def _in_section(found: Mapping[str, Any], place: list[str], checked: Checked) -> tuple[str, list[str]]:
    """A part of a field of a section, which has no command of its own: that field is set in its place."""
    what = "there is no such field" if found["type"] == "extra_forbidden" else _found(found, place, checked)
    return f"{what}, {place[1]} takes {_allowed(place[:2], checked)}", replaced(place[:2], checked)


def _unknown(place: list[str], value: object, checked: Checked) -> tuple[str, list[str]]:
    """A key that does not exist, and what sets the one that is meant."""
    known, _ = checked.level(place)
    *above, name = place
    if not above and name.startswith("images.") and name.count(".") > 1:
        return _DOTTED, moved(place, name.split("."), value, checked)
    if not above and (part := re.match(r"(\w+)\.(\w+)", name)) and part[2] in checked.sections.get(part[1], ()):
        return _DOTTED, into_section(place, name.split("."), value, checked)
    meant = nearest(name, known if above else {**known, **RENAMED})
    if meant is None:
        return f"there is no such setting; known are {', '.join(known)}", [removal(place)]
    commands = moved(place, RENAMED.get(meant, [*above, meant]), as_now(meant, value), checked)
    return f"there is no such setting, {'.'.join(RENAMED.get(meant, [meant]))} is meant", commands
