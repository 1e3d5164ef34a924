"""What a garbage collection would remove and free: pure values, worked out before anything is touched."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from housekeeping.images import Image
from housekeeping.storage import Storage


@dataclass(frozen=True)
class Keep:
    """What stays though nobody uses it.

    Args:
        newest: how many tagged images of each repository.
        younger_than: images that were pushed within that time.
    """

    newest: int
    younger_than: timedelta = timedelta(0)


@dataclass(frozen=True)
class Plan:
    """What goes.

    Args:
        doomed: the images.
        tags: repository -> tags that name a manifest which is no longer there; a collection broken off leaves them.
        manifests: repository -> digests of what is removed, an index before its children.
        freed: digest -> bytes of every blob that nothing needs any more.
    """

    doomed: tuple[Image, ...]
    tags: Mapping[str, tuple[str, ...]]
    manifests: Mapping[str, tuple[str, ...]]
    freed: Mapping[str, int]


def plan(storage: Storage, images: Iterable[Image], keep: Keep, now: datetime) -> Plan:
    """Work out what goes: what nobody uses and no rule keeps.

    Args:
        storage: what lies on the volume.
        images: every image in it, with its users; those of a stack's outputs among them.
        keep: what stays all the same.
        now: the time.
    """
    known = list(images)
    staying = {(image.repository, image.digest) for image in _staying(known, keep, now)}
    stay = [image for image in known if (image.repository, image.digest) in staying]
    doomed = [image for image in known if (image.repository, image.digest) not in staying]
    safe = {(image.repository, digest) for image in stay for digest in image.manifests}
    manifests: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for image in doomed:
        for digest in (image.digest, *sorted(image.manifests)):
            if (image.repository, digest) not in safe:
                manifests[image.repository][digest] = None
    needed = {part for image in stay for part in image.parts}
    return Plan(
        tuple(doomed),
        _dangling(storage),
        {repository: tuple(digests) for repository, digests in manifests.items()},
        {digest: size for digest, size in storage.blobs.items() if digest not in needed},
    )


def _staying(images: list[Image], keep: Keep, now: datetime) -> Iterable[Image]:
    tagged: defaultdict[str, int] = defaultdict(int)
    for image in sorted(images, key=lambda image: image.pushed, reverse=True):
        tagged[image.repository] += bool(image.tags)
        is_new = bool(image.tags) and tagged[image.repository] <= keep.newest
        if image.users or is_new or now - image.pushed < keep.younger_than:
            yield image


def _dangling(storage: Storage) -> Mapping[str, tuple[str, ...]]:
    found = {
        repository: tuple(name for name, tag in tags.items() if tag.digest not in storage.manifests.get(repository, {}))
        for repository, tags in storage.tags.items()
    }
    return {repository: tags for repository, tags in found.items() if tags}
