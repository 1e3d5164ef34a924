"""The list of other registries whose images workloads may run; pure."""

import re
from collections.abc import Iterable

from kube_registry.spec.endpoints import is_host
from kube_registry.text import add_fix

_ENTRY = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*")
_TAG = re.compile(r":[\w.-]+$")
_DOCKER_HUB = ("docker.io", "index.docker.io")


def allowed_names(entries: Iterable[str]) -> tuple[str, ...]:
    """Return the list with the registry of every entry written out.

    Args:
        entries: registries and repositories, such as quay.io, quay.io/team and postgres, which is Docker Hub's.

    Raises:
        ValueError: an entry is neither.
    """
    return tuple(map(_read, entries))


def is_allowed(image: str, names: Iterable[str]) -> bool:
    """Return whether an image is in one of these registries, or in or below one of these repositories."""
    name = _full_name(_TAG.sub("", image.partition("@")[0]))
    return any(name == each or name.startswith(f"{each}/") for each in names)


def _read(entry: str) -> str:
    tagged = "/" not in entry and re.fullmatch(r"[^.]+:\d+", entry) and not entry.startswith("localhost:")
    if tagged or not _ENTRY.fullmatch(entry):
        fix = "write it as quay.io, quay.io/team or postgres, without a tag or digest"
        raise ValueError(add_fix(f"{entry!r} is neither a registry nor a repository", fix))
    return entry if "/" not in entry and is_host(entry) else _full_name(entry)


def _full_name(name: str) -> str:
    """Return a name with its registry, which Docker omits for Docker Hub (distribution/reference, normalize.go)."""
    first, slash, rest = name.partition("/")
    if not (slash and is_host(first)):
        first, rest = _DOCKER_HUB[0], name
    if first in _DOCKER_HUB:
        first, rest = _DOCKER_HUB[0], rest if "/" in rest else f"library/{rest}"
    return f"{first}/{rest}"
