"""What can be wrong with fleet.yaml, which lists the stacks of a fleet."""

from dataclasses import dataclass
from typing import ClassVar

from stack.errors import KubeRegistryError


@dataclass(eq=False)
class FleetError(KubeRegistryError):
    """fleet.yaml is not there, cannot be read, or says something that is not allowed."""

    file: str
    place: str
    problem: str
    mend: str

    sentence = "{file}, {place}: {problem}; {mend}"
    example: ClassVar[dict[str, object]] = {
        "file": "/home/me/kube-registry/fleet.yaml",
        "place": "stack shop-eu",
        "problem": "it has push port 21000, which stack shop-us has, too",
        "mend": "write `pushPort: 20000` below it, which is free",
    }
