"""Settings under their old names, which are read for one more release."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kube_registry.spec.errors import SettingsError

RENAMED: Mapping[str, list[str]] = {
    "storageSize": ["claim", "size"],
    "storageClass": ["claim", "storageClass"],
    "nodeProxy": ["exposure"],
}
"""Old key -> place of the setting that it was."""


def with_new_names(config: Mapping[str, object]) -> dict[str, Any]:
    """A config in which every setting has its present name; the value of an old one as the new one takes it.

    Args:
        config: key -> value, keys without the project's name.

    Raises:
        SettingsError: a setting stands there under both names.
    """
    current: dict[str, Any] = {key: value for key, value in config.items() if key not in RENAMED}
    for key, place in RENAMED.items():
        if key not in config:
            continue
        first, *rest = place
        within = (current.get(first) or {}) if rest else current
        if not isinstance(within, Mapping):
            continue  # the section is no map, which is reported where it is checked
        if within.get(place[-1]) not in (None, ""):
            problem = f"it is the old name of {'.'.join(place)}, which is set as well"
            raise SettingsError(key, problem, f"`pulumi config rm --path {key}`")
        moved = {**within, place[-1]: as_now(key, config[key])}
        current = {**current, first: moved} if rest else moved
    return current


def as_now(key: str, value: object) -> object:
    """The value of a renamed setting as the new one takes it; one that it cannot have stays as it is."""
    if key != "nodeProxy":
        return value
    try:
        return "nodeProxy" if TypeAdapter(bool).validate_python(value) else "nodePort"
    except ValidationError:
        return value
