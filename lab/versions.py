"""The versions that the lab can run: the newest and the oldest of Kubernetes, containerd and Docker.

A cluster has a version of Kubernetes and of containerd, and each Docker engine has one of Docker. They are chosen
separately, on the command line or by an environment variable. Only what was chosen is built.
"""

import os
from dataclasses import dataclass, fields

from lab.errors import LabError

VARIABLE = "KUBE_REGISTRY_VERSIONS"
"""The environment variable that chooses all versions, "newest" or "oldest"; without it, the newest are used."""


@dataclass(frozen=True)
class Versions:
    """One version of each; Debian's packages have only the first two numbers."""

    kubernetes: str
    containerd: str
    docker: str


NEWEST = Versions(kubernetes="1.37.2", containerd="2.4.2", docker="29.8.1")
OLDEST = Versions(kubernetes="1.34.4", containerd="1.6", docker="20.10")

_NAMED = {"newest": NEWEST, "oldest": OLDEST}


def chosen(*, kubernetes: str = "", containerd: str = "", docker: str = "") -> Versions:
    """Return the versions that begin with these numbers, such as "1.34"; the environment chooses the others.

    Raises:
        LabError: the lab has no such version, or the environment variable has another value.
    """
    name = os.environ.get(VARIABLE) or "newest"
    if name not in _NAMED:
        raise LabError(f"{VARIABLE} is {name!r}, which is not supported. Fix: set it to newest or oldest, or unset it")
    wanted = {"kubernetes": kubernetes, "containerd": containerd, "docker": docker}
    return Versions(**{field.name: _found(field.name, wanted[field.name], _NAMED[name]) for field in fields(Versions)})


def matches(version: str, wanted: str) -> bool:
    """Return whether a version is `wanted` or a more exact form of it: 1.34.4 matches 1.34 but not 1.3."""
    return f"{version}.".startswith(f"{wanted}.")


def describe(versions: Versions) -> str:
    """Format the versions of a cluster for messages."""
    return f"Kubernetes {versions.kubernetes}, containerd {versions.containerd}, Docker {versions.docker}"


def _found(program: str, wanted: str, default: Versions) -> str:
    if not wanted:
        return str(getattr(default, program))
    there = [str(getattr(versions, program)) for versions in _NAMED.values()]
    for version in there:
        if matches(version, wanted):
            return version
    raise LabError(f"The lab has no {program} {wanted}. Fix: use {' or '.join(there)}, or leave out --{program}")
