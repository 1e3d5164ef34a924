"""What the images of a registry are made of: every manifest and blob that has to be there, by its repository."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kube_registry.housekeeping.images import Image
from kube_registry.housekeeping.inventory import Look


@dataclass(frozen=True)
class Part:
    """Something that an image needs.

    Args:
        repository: by which it is read.
        digest: what it has to be.
        is_manifest: whether it is a manifest or an index; a config or a layer if not.
        size: bytes that it has by a manifest that names it, or on the volume.
    """

    repository: str
    digest: str
    is_manifest: bool
    size: int

    @property
    def key(self) -> tuple[str, str]:
        """Repository and digest, by which it is one of its kind."""
        return self.repository, self.digest

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{'manifest' if self.is_manifest else 'blob'} {self.digest}"

    @property
    def path(self) -> str:
        """Where the registry's API has it."""
        return f"/v2/{self.repository}/{'manifests' if self.is_manifest else 'blobs'}/{self.digest}"


Needs = Mapping[Part, list[Image]]
"""What images need -> the images."""


def needs(seen: Look) -> Needs:
    """Everything that the images of a registry need, once for each repository, whether it is there or not.

    Args:
        seen: the registry.
    """
    parts: dict[tuple[str, str], Part] = {}
    images: defaultdict[tuple[str, str], list[Image]] = defaultdict(list)
    for image in seen.images:
        mine = {part.key: part for part in _parts(seen, image)}
        parts |= mine
        for key in mine:
            images[key].append(image)
    return {part: images[key] for key, part in parts.items()}


def _parts(seen: Look, image: Image) -> Iterator[Part]:
    """All that an image needs, its manifests too."""
    for repository, digest in image.manifests:
        manifest = seen.manifests[repository][digest]
        for each in (digest, *(manifest.children if manifest else ())):
            yield Part(repository, each, is_manifest=True, size=seen.storage.blobs.get(each, 0))
        for blob, size in (manifest.blobs if manifest else {}).items():
            yield Part(repository, blob, is_manifest=False, size=size)


def reading_seconds(parts: Iterable[Part]) -> float:
    """Return how long a program may need for the largest of some parts: a minute, and a second for each MB."""
    return 60.0 + max((part.size for part in parts), default=0) / 1e6
