"""Small registries for tests of what is made of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kube_registry.housekeeping.inventory import Image, list_images
from kube_registry.housekeeping.manifests import Manifest
from kube_registry.housekeeping.protection import Protection
from kube_registry.housekeeping.usage import Use
from kube_registry.housekeeping.volume_listing import Room, Storage, Tag

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def digest(name: str) -> str:
    """A digest that a test can read: its name, and then zeros."""
    return "sha256:" + name.encode().hex().ljust(64, "0")


def image(*layers: str, subject: str | None = None) -> Manifest:
    """A manifest of some layers, of 10 bytes each."""
    return Manifest({digest(layer): 10 for layer in layers}, (), subject and digest(subject), ("linux/amd64",))


def index(*children: str) -> Manifest:
    """An index of manifests."""
    return Manifest({}, tuple(map(digest, children)), None, ("linux/amd64", "linux/arm64"))


def storage(manifests: Mapping[str, Manifest], tags: Mapping[str, tuple[str, int]], repository: str = "app") -> Storage:
    """A volume that holds all that the manifests of a repository need.

    Args:
        manifests: name -> manifest, each of 1 byte.
        tags: tag -> name of its manifest, and its age in days.
        repository: where they are.
    """
    blobs = {part: size for manifest in manifests.values() for part, size in manifest.blobs.items()}
    return Storage(
        room=Room(0, 0),
        listed=NOW,
        manifests={(repository, digest(name)): NOW - timedelta(days=100) for name in manifests},
        tags={(repository, tag): Tag(digest(name), NOW - timedelta(days=age)) for tag, (name, age) in tags.items()},
        blobs=blobs | {digest(name): 1 for name in manifests},
    )


def listed(
    manifests: Mapping[str, Manifest], tags: Mapping[str, tuple[str, int]], uses: Sequence[Use] = ()
) -> tuple[Storage, list[Image]]:
    """The images of one repository, "app"."""
    return listed_in({"app": (manifests, tags)}, uses)


def listed_in(
    repositories: Mapping[str, tuple[Mapping[str, Manifest], Mapping[str, tuple[str, int]]]],
    uses: Sequence[Use] = (),
    protections: Sequence[Protection] = (),
) -> tuple[Storage, list[Image]]:
    """The images of several repositories, each with its manifests and tags."""
    each = [storage(manifests, tags, name) for name, (manifests, tags) in repositories.items()]
    stored = Storage(
        room=Room(0, 0),
        listed=NOW,
        manifests={key: pushed for one in each for key, pushed in one.manifests.items()},
        tags={place: tag for one in each for place, tag in one.tags.items()},
        blobs={part: size for one in each for part, size in one.blobs.items()},
    )
    known = {
        (name, digest(of)): manifest
        for name, (manifests, _) in repositories.items()
        for of, manifest in manifests.items()
    }
    return stored, list_images(stored, known, uses, protections)
