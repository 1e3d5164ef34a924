"""What a garbage collection would remove and free: plain values, computed before anything is changed."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kube_registry.errors import Where
from kube_registry.housekeeping.errors import DamagedManifestsError, OtherDigestError
from kube_registry.housekeeping.inventory import Image, Inventory
from kube_registry.housekeeping.volume_listing import Storage


@dataclass(frozen=True)
class Keep:
    """What is kept although it is unused.

    Args:
        newest: how many tagged images of each repository.
        younger_than: images that were pushed within this time, by the clock of the pod.
    """

    newest: int
    younger_than: timedelta = timedelta(0)


@dataclass(frozen=True)
class Plan:
    """What is to be removed.

    Args:
        doomed: the images.
        tags: repository and name of tags whose manifest is missing; an interrupted collection leaves them.
        manifests: repository -> digests of the manifests, an index before its children.
        freed: digest -> bytes of every blob that nothing needs any more.
    """

    doomed: tuple[Image, ...]
    tags: tuple[tuple[str, str], ...]
    manifests: Mapping[str, tuple[str, ...]]
    freed: Mapping[str, int]

    @property
    def frees(self) -> bool:
        """Whether anything is to be removed."""
        return bool(self.doomed or self.tags or self.freed)


def plan(storage: Storage, images: Sequence[Image], keep: Keep, *, among: Container[str] | None = None) -> Plan:
    """Plan to remove the images that nothing uses and no rule keeps.

    Args:
        storage: what is on the volume.
        images: every image on it, with its users, including a stack's outputs.
        keep: what is kept although it is unused.
        among: keys of the images that may be removed; None for all.
    """
    kept = _kept(images, keep, storage.listed)
    doomed = [image for image in images if image.key not in kept and (among is None or image.key in among)]
    going = {image.key for image in doomed}
    staying = [image for image in images if image.key not in going]
    safe = {key for image in staying for key in image.manifests}
    manifests: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for image in doomed:
        for repository, digest in ((image.repository, image.digest), *sorted(image.manifests)):
            if (repository, digest) not in safe:
                manifests[repository][digest] = None
    needed = {part for image in staying for part in image.parts}
    return Plan(
        tuple(doomed),
        tuple(place for place, tag in storage.tags.items() if (place[0], tag.digest) not in storage.manifests),
        {repository: tuple(digests) for repository, digests in manifests.items()},
        {digest: size for digest, size in storage.blobs.items() if digest not in needed},
    )


def plan_gc(where: Where, seen: Inventory, keep: Keep, *, among: Container[str] | None = None) -> Plan:
    """Plan a garbage collection of a registry.

    Args:
        where: place of the registry, for errors.
        seen: inventory of the registry.
        keep: see `plan`.
        among: see `plan`.

    Raises:
        DamagedManifestsError: manifests cannot be read, so what they need is unknown.
        OtherDigestError: the registry's own collection would damage images that are kept.
    """
    if unreadable := list(seen.manifests.values()).count(None):
        raise DamagedManifestsError(where=where, count=unreadable)
    going = plan(seen.storage, seen.images, keep, among=among)
    harmed = sorted(  # the registry stores every blob under its sha256
        f"{repository}@{digest}"
        for (repository, digest), manifest in seen.manifests.items()
        if manifest and digest not in going.manifests.get(repository, ())
        if not all(blob.startswith("sha256:") for blob in manifest.blobs)
    )
    if harmed:
        raise OtherDigestError(where=where, images=tuple(harmed))
    return going


def _kept(images: Iterable[Image], keep: Keep, now: datetime) -> set[str]:
    """Return the keys of the images to keep."""
    kept, tagged = set(), Counter[str]()
    for image in sorted(images, key=lambda image: image.pushed, reverse=True):
        tagged[image.repository] += bool(image.tags)
        is_new = bool(image.tags) and tagged[image.repository] <= keep.newest
        age = max(now - image.pushed, timedelta(0))  # the pod's time is in whole seconds, a file's is not
        if image.users or is_new or age < keep.younger_than:
            kept.add(image.key)
    return kept
