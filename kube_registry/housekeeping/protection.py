"""Images that a person protects from a collection, because no cluster shows that they are needed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kube_registry.spec.endpoints import is_host

ANNOTATION = "kube-registry/protect"
"""Annotation of the registry's Namespace, or of any object that is read for uses: patterns, separated by commas."""


@dataclass(frozen=True)
class Protection:
    """A pattern of images that stay.

    Args:
        pattern: a glob over `repository`, `repository:tag` and `repository@digest`; `*` matches any characters. A host
            before the repository counts for nothing, as in a use (ADR 0021), nor does a tag before a digest.
        by: where the pattern is from.
    """

    pattern: str
    by: str

    @property
    def title(self) -> str:
        """The pattern, with where it is from."""
        return f"{self.by} {self.pattern}"

    def covers(self, repository: str, tags: Iterable[str], digest: str) -> bool:
        """Whether the pattern matches an image by any of its names."""
        names = (repository, f"{repository}@{digest}", *(f"{repository}:{tag}" for tag in tags))
        return any(fnmatchcase(name, pattern) for pattern in _meanings(self.pattern) for name in names)


def protections(text: str, by: str) -> list[Protection]:
    """The protections that a text lists, separated by commas or spaces.

    Args:
        text: the value of an option or of an annotation.
        by: where it is from.
    """
    return [Protection(pattern, by) for pattern in text.replace(",", " ").split()]


def annotated(of: str, annotations: Mapping[str, str]) -> list[Protection]:
    """The protections that an object's annotation lists.

    Args:
        of: kind and name of the object.
        annotations: all that it has.
    """
    return protections(str(annotations.get(ANNOTATION, "")), f"{ANNOTATION} of {of}:")


def _meanings(pattern: str) -> Iterator[str]:
    """A pattern as it stands, and without a host."""
    named, at, digest = pattern.rpartition("://")[2].partition("@")
    if at:  # which decides, wherever the tag points
        folder, slash, last = named.rpartition("/")
        named = f"{folder}{slash}{last.partition(':')[0]}"
    yield f"{named}{at}{digest}"
    host, slash, path = named.partition("/")
    if slash and is_host(host):
        yield f"{path}{at}{digest}"
