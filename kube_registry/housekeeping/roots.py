"""What belongs together in a registry: which manifests stand for themselves, and which hang on another one.

An index holds its children, and a subject its referrers: signatures, attestations, SBOMs. A referrer belongs to its
subject in whichever repository it is, as cosign keeps signatures where COSIGN_REPOSITORY says.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kube_registry.housekeeping.manifests import Manifests
from kube_registry.housekeeping.volume_listing import Key, Storage

_REFERRERS = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(\..+)?")
"""A tag that names what belongs to a manifest, where the registry lists no referrers itself.

Source: OCI distribution specification 1.1, "Referrers Tag Schema"; cosign adds ".sig", ".att" and ".sbom".
"""


@dataclass(frozen=True)
class Root:
    """A manifest that stands for itself.

    Args:
        key: which.
        tags: that name it, the newest first.
        members: itself and all that hang on it.
    """

    key: Key
    tags: tuple[str, ...]
    members: frozenset[Key]


def roots(storage: Storage, manifests: Manifests) -> Iterator[Root]:
    """Yield each manifest that stands for itself: a tag names it, or it hangs on nothing.

    Of manifests that hang on each other in a ring one stands for itself, so that every manifest belongs to one.

    Args:
        storage: what lies on the volume.
        manifests: what is there.
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
    hanging = {key for each in direct.values() for key in each}
    every = _names(storage, storage.tags)
    plain = _names(storage, [place for place in storage.tags if place not in referring])
    dependent = hanging - plain.keys()
    reached = set[Key]()
    for key in sorted(manifests, key=dependent.__contains__):
        if key in dependent and key in reached:
            continue  # what is not reached by now hangs in a ring
        members = _with_all(key, direct)
        reached |= members
        yield Root(key, tuple(plain.get(key) or every.get(key) or ()), members)


def _names(storage: Storage, places: Iterable[tuple[str, str]]) -> Mapping[Key, list[str]]:
    """The tags of each manifest, the newest first.

    Args:
        storage: what lies on the volume.
        places: repository and name of each tag.
    """
    found: defaultdict[Key, list[str]] = defaultdict(list)
    for repository, name in sorted(places, key=lambda place: storage.tags[place].pushed, reverse=True):
        found[repository, storage.tags[repository, name].digest].append(name)
    return found


def _direct(
    manifests: Manifests, holders: Mapping[str, list[Key]], referring: Iterable[tuple[str, Key]]
) -> Mapping[Key, list[Key]]:
    """Each manifest, with those that hang on it directly; none on itself.

    Args:
        manifests: what is there.
        holders: digest -> where it is.
        referring: pairs of a subject and what refers to it by a tag.
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
    """A manifest with all that hang on it, and on those."""
    found, waiting = {key}, [key]
    while waiting:
        more = set(direct[waiting.pop()]) - found
        found |= more
        waiting += more
    return frozenset(found)
