"""Repository names; the name of an image in the settings is its repository."""

import re
from collections.abc import Container
from typing import Annotated

from pydantic import AfterValidator, Field

from kube_registry.names import PROBE_REPOSITORY

REPOSITORY_LENGTH = 255 - len("localhost:30100/")
"""Maximum length. A name without its tag has at most 255 characters; Docker 20.10 counts host and port, Docker 29 does
not."""

ALLOWED = f"lower-case letters and digits, separated by single . _ - or /, at most {REPOSITORY_LENGTH} characters"
"""The rule for a repository name, in words."""

_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"


def _not_the_probes(name: str) -> str:
    if name == PROBE_REPOSITORY:
        raise ValueError("the preflight uses this repository for its probe image")
    return name


Repository = Annotated[
    str,
    Field(pattern=rf"^{_COMPONENT}(/{_COMPONENT})*$", max_length=REPOSITORY_LENGTH),
    AfterValidator(_not_the_probes),
]


def allowed_name(name: str, taken: Container[str]) -> str:
    """Return the allowed name that is most similar to an invalid one.

    Args:
        name: the invalid name.
        taken: names that are already used.
    """
    parts = (re.sub(r"[^a-z0-9]+", "-", part).strip("-") for part in name.lower().split("/"))
    near = "/".join(part for part in parts if part)[: REPOSITORY_LENGTH - 4].rstrip("/-") or "app"
    names = (near if number == 1 else f"{near}-{number}" for number in range(1, 1000))
    return next(each for each in names if each not in taken and each != PROBE_REPOSITORY)
