"""What belongs together in a registry: which manifests are independent, and which belong to another one.

An index has children, and a subject has referrers: signatures, attestations, SBOMs. A referrer belongs to its subject
even from another repository, as cosign stores signatures in COSIGN_REPOSITORY.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kube_registry.housekeeping.manifests import Manifests
from kube_registry.housekeeping.volume_listing import Key, Storage

_REFERRERS = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(\..+)?")
"""A tag that names a referrer of a manifest, for registries that do not list referrers.

Source: OCI distribution specification 1.1, "Referrers Tag Schema"; cosign adds ".sig", ".att" and ".sbom".
"""


@dataclass(frozen=True)
class Root:
    """An independent manifest.

    Args:
        key: its key.
        tags: its tags, the newest first.
        members: itself and all manifests that belong to it.
    """

    key: Key
    tags: tuple[str, ...]
    members: frozenset[Key]


def roots(storage: Storage, manifests: Manifests) -> Iterator[Root]:
    """Yield each independent manifest: it has a tag, or it belongs to no other manifest.

    Of manifests that belong to each other in a cycle, one counts as independent, so that every manifest has a root.

    Args:
        storage: what is on the volume.
        manifests: the parsed manifests.
    """
    holders: defaultdict[str, list[Key]] = defaultdict(list)
    for key in manifests:
        holders[key[1]].append(key)
    referring = {
        place: subject
        for place, tag in storage.tags.items()
        if (found := _REFERRERS.fullmatch(place[1]))
        and (subject := f"sha256:{found['hex']}") in holders
        and subject != tag.digest
    }
    by_tag = [(subject, (place[0], storage.tags[place].digest)) for place, subject in referring.items()]
    direct = _direct(manifests, holders, by_tag)
    belonging = {key for each in direct.values() for key in each}
    every = _names(storage, storage.tags)
    plain = _names(storage, [place for place in storage.tags if place not in referring])
    dependent = belonging - plain.keys()
    reached = set[Key]()
    for key in sorted(manifests, key=dependent.__contains__):
        if key in dependent and key in reached:
            continue  # one that is not reached by now is in a cycle
        members = _with_all(key, direct)
        reached |= members
        yield Root(key, tuple(plain.get(key) or every.get(key) or ()), members)


def _names(storage: Storage, places: Iterable[tuple[str, str]]) -> Mapping[Key, list[str]]:
    """Return the tags of each manifest, the newest first.

    Args:
        storage: what is on the volume.
        places: repository and name of each tag.
    """
    found: defaultdict[Key, list[str]] = defaultdict(list)
    for repository, name in sorted(places, key=lambda place: storage.tags[place].pushed, reverse=True):
        found[repository, storage.tags[repository, name].digest].append(name)
    return found


def _direct(
    manifests: Manifests, holders: Mapping[str, list[Key]], referring: Iterable[tuple[str, Key]]
) -> Mapping[Key, list[Key]]:
    """Return each manifest with those that directly belong to it; none belongs to itself.

    Args:
        manifests: the parsed manifests.
        holders: digest -> keys of the manifests with that digest.
        referring: pairs of a subject and a manifest that refers to it by a tag.
    """
    found: dict[Key, list[Key]] = {
        (repository, digest): [
            (repository, child)
            for child in (manifest.children if manifest else ())
            if (repository, child) in manifests and child != digest
        ]
        for (repository, digest), manifest in manifests.items()
    }
    subjects = [(manifest.subject, key) for key, manifest in manifests.items() if manifest and manifest.subject]
    for subject, key in (*subjects, *referring):
        if key in manifests and key[1] != subject:
            for holder in holders.get(subject, ()):
                found[holder].append(key)
    return found


def _with_all(key: Key, direct: Mapping[Key, list[Key]]) -> frozenset[Key]:
    """Return a manifest with all that belong to it, directly or indirectly."""
    found, waiting = {key}, [key]
    while waiting:
        more = set(direct[waiting.pop()]) - found
        found |= more
        waiting += more
    return frozenset(found)
