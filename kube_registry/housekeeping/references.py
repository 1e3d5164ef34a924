"""Which images of a registry a text names.

A host is routing only: the same image is pulled from localhost, a node's address, a Service's name or a mirror. So a
reference is known by what the registry has: a repository with a tag, a digest, or a content tag without its
repository. A match too many keeps an image for longer, one too few would lose it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from kube_registry.housekeeping.manifests import Manifests
from kube_registry.housekeeping.volume_listing import Key, Storage
from kube_registry.spec.endpoints import is_host

_WORD = re.compile(r"[\w.\-/:@\[\]]+", re.ASCII)
"""What a reference is made of, with its host: [::1]:30100/team/app:v1@sha256:…"""

_NUMBER = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16})(?![0-9A-Za-z])")
"""A digest without its algorithm, or a content tag of ours."""

_CONTENT_TAG = re.compile(r"[0-9a-f]{16}")
_AROUND = ".:-/[]"
"""What a text may put around a reference."""

_LONGEST_TAG, _LONGEST_PATH = 128, 512
"""Characters of a tag, and more than a repository has, which are 255; what is longer would take minutes to look at."""

_REMEMBERED, _SHORT = 50_000, 256
"""How many texts are remembered, and up to which length: most texts of a cluster are short and repeat."""


@dataclass(frozen=True)
class Names:
    """What the images of a registry are called.

    Args:
        tags: repository -> tag -> digest.
        numbers: digest without its algorithm, or content tag -> manifests.
    """

    tags: Mapping[str, Mapping[str, str]]
    numbers: Mapping[str, frozenset[Key]]


@dataclass(frozen=True)
class Found:
    """What a text names.

    Args:
        images: manifests.
        repositories: that are named by a reference without a tag; the tag may stand elsewhere in the object.
        words: that are a tag of some repository.
    """

    images: frozenset[Key] = frozenset()
    repositories: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


_NOTHING = Found()


def names_of(storage: Storage, manifests: Manifests) -> Names:
    """List what the images of a registry are called.

    Args:
        storage: what lies on its volume.
        manifests: what its manifests say.
    """
    numbers: defaultdict[str, set[Key]] = defaultdict(set)
    for key, manifest in manifests.items():
        numbers[_number(key[1])].add(key)
        if manifest and manifest.config:
            numbers[_number(manifest.config)].add(key)
    tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for (repository, name), tag in storage.tags.items():
        tags[repository][name] = tag.digest
        if _CONTENT_TAG.fullmatch(name):
            numbers[name].add((repository, tag.digest))
    return Names(
        {repository: tags[repository] for repository, _ in manifests},
        {number: frozenset(keys) for number, keys in numbers.items()},
    )


def finder(names: Names) -> Callable[[Iterable[str]], frozenset[Key]]:
    """Make a function that finds the manifests that the texts of one object name.

    Args:
        names: what the images of the registry are called.
    """
    words = frozenset(tag for of in names.tags.values() for tag in of)
    remembered = lru_cache(_REMEMBERED)(partial(_find, names, words))

    def find(texts: Iterable[str]) -> frozenset[Key]:
        images, repositories, tags = set[Key](), set[str](), set[str]()
        for text in texts:
            found = remembered(text) if len(text) <= _SHORT else _find(names, words, text)
            if found is not _NOTHING:
                images |= found.images
                repositories |= found.repositories
                tags |= found.words
        for repository in repositories:
            of = names.tags[repository]
            images |= {(repository, of[tag]) for tag in tags & of.keys()}
        return frozenset(images)

    return find


def _find(names: Names, tags: frozenset[str], text: str) -> Found:
    images, repositories, words = set[Key](), set[str](), set[str]()
    for number in _NUMBER.findall(text):
        images |= names.numbers.get(number, frozenset())
    for word in _words(text):
        if "/" not in word and ":" not in word:
            words |= {word} & tags
            continue
        named, _, digest = word.rpartition("://")[2].partition("@")
        if _number(digest) in names.numbers:
            continue  # the digest decides
        folder, _, last = named.rpartition("/")
        name, _, tag = last.partition(":")
        for repository in _repositories(names, f"{folder}/{name}"):
            if tag in names.tags[repository]:
                images.add((repository, names.tags[repository][tag]))
            elif not tag and is_host(folder.partition("/")[0]):
                repositories.add(repository)
                words |= {"latest"} & tags
    if not (images or repositories or words):
        return _NOTHING
    return Found(frozenset(images), frozenset(repositories), frozenset(words))


def _words(text: str) -> Iterator[str]:
    """The words of a text, each also without what stands behind it, since a tag may end in a dot or hyphen itself."""
    for each in _WORD.findall(text):
        word = each.lstrip(_AROUND)
        shortest = len(word.rstrip(_AROUND))
        yield from (word[:end] for end in range(shortest, min(len(word), shortest + _LONGEST_TAG) + 1))


def _repositories(names: Names, path: str) -> Iterator[str]:
    """The repositories that a path may mean: a host comes before a repository's name, and a mirror's own words."""
    path = path[-_LONGEST_PATH:]
    while path:
        if path in names.tags:
            yield path
        path = path.partition("/")[2]


def _number(digest: str) -> str:
    return digest.rpartition(":")[2]
