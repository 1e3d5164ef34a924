"""Find the images of a registry that a text names.

The host only routes: the same image is pulled from localhost, a node's address, a Service's name or a mirror. So a
reference is recognised by what the registry has: a repository with a tag, a digest, or a content tag without its
repository. A false match keeps an image for longer; a missed one would lose it.
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
"""The characters of a reference, with its host: [::1]:30100/team/app:v1@sha256:…"""

_NUMBER = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16})(?![0-9A-Za-z])")
"""A digest without its algorithm, or a content tag of this program."""

_CONTENT_TAG = re.compile(r"[0-9a-f]{16}")
_AROUND = ".:-/[]"
"""Characters that a text may have around a reference."""

_LONGEST_TAG, _LONGEST_PATH = 128, 512
"""The most characters of a tag, and more than a repository's 255; searching longer text would take minutes."""

_REMEMBERED, _SHORT = 50_000, 256
"""How many texts are cached, and up to which length: most texts of a cluster are short and repeat."""


@dataclass(frozen=True)
class Names:
    """The names of the images of a registry.

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
        images: the manifests that it names.
        repositories: repositories in references without a tag; the tag may be elsewhere in the object.
        words: words that are a tag of some repository.
    """

    images: frozenset[Key] = frozenset()
    repositories: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


_NOTHING = Found()


def names_of(storage: Storage, manifests: Manifests) -> Names:
    """Return the names of the images of a registry.

    Args:
        storage: what is on its volume.
        manifests: its parsed manifests.
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
    """Return a function that finds the manifests that the texts of one object name.

    Args:
        names: the names of the registry's images.
    """
    words = frozenset(tag for tags in names.tags.values() for tag in tags)
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
            digests = names.tags[repository]
            images |= {(repository, digests[tag]) for tag in tags & digests.keys()}
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
    """Yield the words of a text, with and without trailing punctuation, as a tag may end in a dot or hyphen."""
    for each in _WORD.findall(text):
        word = each.lstrip(_AROUND)
        shortest = len(word.rstrip(_AROUND))
        yield from (word[:end] for end in range(shortest, min(len(word), shortest + _LONGEST_TAG) + 1))


def _repositories(names: Names, path: str) -> Iterator[str]:
    """Yield the repositories that a path may mean: a host, and path elements of a mirror, may precede the name."""
    path = path[-_LONGEST_PATH:]
    while path:
        if path in names.tags:
            yield path
        path = path.partition("/")[2]


def _number(digest: str) -> str:
    return digest.rpartition(":")[2]
