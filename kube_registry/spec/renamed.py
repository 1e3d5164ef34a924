"""Old names of settings, which still work for one more release."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kube_registry.spec.errors import SettingsError

RENAMED: Mapping[str, list[str]] = {
    "storageSize": ["claim", "size"],
    "storageClass": ["claim", "storageClass"],
    "nodeProxy": ["exposure"],
}
"""Old key -> place of the setting now."""


def with_new_names(config: Mapping[str, object]) -> dict[str, Any]:
    """Return the config with renamed settings under their new names, and their values converted.

    Args:
        config: key -> value, keys without the project's name.

    Raises:
        SettingsError: a setting is set under both names.
    """
    current: dict[str, Any] = {key: value for key, value in config.items() if key not in RENAMED}
    for key, place in RENAMED.items():
        if key not in config:
            continue
        first, *rest = place
        within = (current.get(first) or {}) if rest else current
        if not isinstance(within, Mapping):
            continue  # the section is not a map, which the validation reports
        if within.get(place[-1]) not in (None, ""):
            problem = f"it is the old name of {'.'.join(place)}, which is set as well"
            raise SettingsError(key, problem, f"`pulumi config rm --path {key}`")
        moved = {**within, place[-1]: as_now(key, config[key])}
        current = {**current, first: moved} if rest else moved
    return current


def as_now(key: str, value: object) -> object:
    """Convert the value of a renamed setting; a value that cannot be converted is returned unchanged."""
    if key != "nodeProxy":
        return value
    try:
        return "nodeProxy" if TypeAdapter(bool).validate_python(value) else "nodePort"
    except ValidationError:
        return value
