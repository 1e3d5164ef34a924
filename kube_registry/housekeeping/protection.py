"""Images that a user protects from garbage collection, because no object in the cluster shows that they are needed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kube_registry.spec.endpoints import is_host

ANNOTATION = "kube-registry/protect"
"""Annotation of the registry's Namespace, or of any object that may use images: patterns, separated by commas."""


@dataclass(frozen=True)
class Protection:
    """A pattern of images to keep.

    Args:
        pattern: a glob over `repository`, `repository:tag` and `repository@digest`; `*` matches any characters. A host
            before the repository is ignored, as in a use (ADR 0021), and so is a tag before a digest.
        by: where the pattern comes from.
    """

    pattern: str
    by: str

    @property
    def title(self) -> str:
        """The pattern, after where it comes from."""
        return f"{self.by} {self.pattern}"

    def covers(self, repository: str, tags: Iterable[str], digest: str) -> bool:
        """Return whether the pattern matches an image by any of its names."""
        names = (repository, f"{repository}@{digest}", *(f"{repository}:{tag}" for tag in tags))
        return any(fnmatchcase(name, pattern) for pattern in _meanings(self.pattern) for name in names)


def protections(text: str, by: str) -> list[Protection]:
    """Return the protections in a text, which are separated by commas or spaces.

    Args:
        text: the value of an option or of an annotation.
        by: where it comes from.
    """
    return [Protection(pattern, by) for pattern in text.replace(",", " ").split()]


def annotated(title: str, annotations: Mapping[str, str]) -> list[Protection]:
    """Return the protections in an object's annotation.

    Args:
        title: kind and name of the object.
        annotations: all its annotations.
    """
    return protections(str(annotations.get(ANNOTATION, "")), f"{ANNOTATION} of {title}:")


def _meanings(pattern: str) -> Iterator[str]:
    """Yield a pattern as it is, and without its host."""
    named, at, digest = pattern.rpartition("://")[2].partition("@")
    if at:  # the digest decides, wherever the tag points
        folder, slash, last = named.rpartition("/")
        named = f"{folder}{slash}{last.partition(':')[0]}"
    yield f"{named}{at}{digest}"
    host, slash, path = named.partition("/")
    if slash and is_host(host):
        yield f"{path}{at}{digest}"
