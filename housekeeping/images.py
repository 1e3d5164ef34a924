"""The images of a registry: what each is, how large, since when, and who uses it.

An image is a manifest with all that hangs on it: an index with its children, a subject with its referrers. What is
shared with other images is counted once for the registry and as "shared" for each.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cluster.probe_image import REPOSITORY as PROBE_REPOSITORY
from housekeeping.manifests import Manifest, Manifests
from housekeeping.storage import Storage
from housekeeping.usage import Use

_REFERRERS = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(\..+)?")
"""A tag that names what belongs to a manifest, where the registry lists no referrers itself.

Source: OCI distribution specification 1.1, "Referrers Tag Schema"; cosign adds ".sig" and the like.
"""

PREFLIGHT = "the preflight"
"""Who uses the image that nodes prove their pull with."""


@dataclass(frozen=True)
class Image:
    """An image with all that hangs on it.

    Args:
        repository: its name.
        digest: of its manifest or index.
        tags: that name it, the newest first.
        pushed: when it was, or its newest tag.
        platforms: that it runs on.
        manifests: digests of its own manifest and of all that hang on it.
        parts: digest of each blob that it needs, manifests too -> bytes on the volume; those that are gone are missing.
        users: workloads that use it.
        nodes: on which pods use it.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    pushed: datetime
    platforms: tuple[str, ...]
    manifests: frozenset[str]
    parts: Mapping[str, int]
    users: tuple[str, ...]
    nodes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Repository and newest tag, or digest where no tag names it."""
        return f"{self.repository}:{self.tags[0]}" if self.tags else self.key

    @property
    def key(self) -> str:
        """Repository and digest, by which it is one of its kind."""
        return f"{self.repository}@{self.digest}"

    @property
    def size(self) -> int:
        """Bytes of all that it needs."""
        return sum(self.parts.values())


def images(storage: Storage, manifests: Manifests, uses: Iterable[Use]) -> list[Image]:
    """Every image of a registry, by repository, the newest first.

    Args:
        storage: what lies on its volume.
        manifests: what its manifests say.
        uses: who uses what.
    """
    used: defaultdict[str, list[Use]] = defaultdict(list)
    for use in uses:
        used[use.repository].append(use)
    found = [
        image
        for repository, of in manifests.items()
        for image in _of_repository(storage, repository, of, used[repository])
    ]
    return sorted(found, key=lambda image: (image.repository, -image.pushed.timestamp(), image.digest))


def unique_bytes(of: Iterable[Image]) -> Mapping[str, int]:
    """How many bytes each image, by its key, shares with no other.

    Args:
        of: all images of a registry.
    """
    known = list(of)
    holders = Counter(part for image in known for part in image.parts)
    return {image.key: sum(size for part, size in image.parts.items() if holders[part] == 1) for image in known}


def _of_repository(
    storage: Storage, repository: str, of: Mapping[str, Manifest | None], uses: list[Use]
) -> Iterator[Image]:
    """An image for each manifest that stands for itself: a tag names it, or it hangs on nothing that is there."""
    tags = storage.tags.get(repository, {})
    subjects = {name: subject for name in tags if (subject := _subject(name)) and subject in of}
    direct = _direct(of, [(subject, tags[name].digest) for name, subject in subjects.items()])
    hanging = {digest for each in direct.values() for digest in each}
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(tags.keys() - subjects.keys(), key=lambda name: tags[name].pushed, reverse=True):
        names[tags[name].digest].append(name)
    for digest, manifest in of.items():
        if digest in names or digest not in hanging:
            named, members = names[digest], _with_all(digest, direct)
            mine = [use for use in uses if (use.digest in members if use.digest else use.tag in named)]
            users = {use.user for use in mine} | ({PREFLIGHT} if repository == PROBE_REPOSITORY else set())
            needed = {part for each in members for part in _blobs(each, of)}
            yield Image(
                repository=repository,
                digest=digest,
                tags=tuple(named),
                pushed=tags[named[0]].pushed if named else storage.manifests[repository][digest],
                platforms=manifest.platforms if manifest else (),
                manifests=members,
                parts={part: storage.blobs[part] for part in needed if part in storage.blobs},
                users=tuple(sorted(users)),
                nodes=tuple(sorted({use.node for use in mine if use.node})),
            )


def _subject(tag: str) -> str | None:
    """The manifest of which a tag tells something, by its form."""
    found = _REFERRERS.fullmatch(tag)
    return f"sha256:{found['hex']}" if found else None


def _direct(of: Mapping[str, Manifest | None], told: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Each manifest of a repository, with those that hang on it: an index's children, and what tells of it.

    Args:
        of: digest -> manifest.
        told: pairs of a subject and what tells of it by a tag.
    """
    found: dict[str, list[str]] = {
        digest: [child for child in manifest.children if child in of] if manifest else []
        for digest, manifest in of.items()
    }
    for digest, manifest in of.items():
        if manifest and manifest.subject in found:
            found[manifest.subject].append(digest)
    for subject, digest in told:
        found[subject] += [digest] if digest in of else []
    return found


def _with_all(digest: str, direct: Mapping[str, list[str]]) -> frozenset[str]:
    """A manifest with all that hang on it, and on those."""
    found, waiting = {digest}, [digest]
    while waiting:
        more = set(direct[waiting.pop()]) - found
        found |= more
        waiting += more
    return frozenset(found)


def _blobs(digest: str, of: Mapping[str, Manifest | None]) -> Iterator[str]:
    yield digest
    if manifest := of[digest]:
        yield from manifest.blobs
