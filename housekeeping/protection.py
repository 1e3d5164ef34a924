"""Images that a person protects from a collection, because no cluster shows that they are needed."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

ANNOTATION = "kube-registry/protect"
"""Annotation of the registry's Namespace, or of any object that is read for uses: patterns, separated by commas."""


@dataclass(frozen=True)
class Protection:
    """A pattern of images that stay.

    Args:
        pattern: a glob over `repository`, `repository:tag` and `repository@digest`; `*` matches any characters.
        by: where the pattern is from.
    """

    pattern: str
    by: str

    def covers(self, repository: str, tags: Iterable[str], digest: str) -> bool:
        """Whether the pattern matches an image by any of its names."""
        names = (repository, f"{repository}@{digest}", *(f"{repository}:{tag}" for tag in tags))
        return any(fnmatchcase(name, self.pattern) for name in names)


def annotated(annotation: str, by: str) -> list[Protection]:
    """The protections that an annotation lists.

    Args:
        annotation: its value.
        by: kind and name of the object that has it.
    """
    return [Protection(pattern, by) for pattern in annotation.replace(",", " ").split()]
