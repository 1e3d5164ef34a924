"""A stack that is developed, and how its settings are found."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_registry.dev.files import ImageSource
from kube_registry.engine.program import Program
from kube_registry.spec.cluster_address import ClusterAddress


@dataclass(frozen=True)
class Target:
    """A stack that is developed.

    Args:
        name: its name.
        program: the program; its grace is how long `pulumi` may take to end.
        roots: the folder of Pulumi.yaml, then the folder of the program if it is another one.
        prepare: called before the first update, and before others if the program has changed; returns when the stack
            exists and is configured.
        images: returns how its images are built: name -> how. It gets the resources that an update has reported; none
            before the first update.
        address: returns the cluster of a registry, by the name of its component; None for the only one.
    """

    name: str
    program: Program
    roots: Sequence[Path]
    prepare: Callable[[], Awaitable[object]]
    images: Callable[[Sequence[Mapping[str, Any]]], Awaitable[Mapping[str, ImageSource]]]
    address: Callable[[str | None], Awaitable[ClusterAddress]]

    @property
    def folder(self) -> Path:
        """The folder that paths are relative to."""
        return self.program.folder
