"""Whether every byte of a registry is what its name says: sha256 of all that its images need.

The bytes are read through the read door, as a node reads them, but inside the pod: what is far away is not carried
here, and nobody's network is filled. What several repositories share is read by one and asked for by the others. What
seems damaged is looked at once more, so that a garbage collection or a restart meanwhile is not taken for damage.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kube_registry.concurrency import map_limited
from kube_registry.housekeeping.damage import Damage, Part, diagnose, reading_seconds
from kube_registry.housekeeping.inventory import Image, Inventory, read_contents
from kube_registry.kube.client import KubeClient
from kube_registry.names import READ_PORT
from kube_registry.registry.api import ANY_MANIFEST
from kube_registry.registry.pod_exec import process_in_pod

READERS = 4
"""Processes that read at a time; two for each core that a small node has, for each also waits for the registry."""

_READ = f"""\
ask() {{
  path=$1; shift
  wget -q "$@" --header 'Accept: {ANY_MANIFEST}' "http://127.0.0.1:{READ_PORT}$path" 2>/dev/null
}}
while read -r how path && [ "$how" ]; do
  case $how in
    read) {{ ask "$path" -O - || echo broken; }} | sha256sum | {{ read -r sum _; echo "sha256:$sum"; }} ;;
    find) ask "$path" --spider && echo there || echo lost ;;
  esac
done
"""
"""Reads what it is told of on its standard input, a line each; GNU's and BusyBox's tools know these options.

What cannot be read to its end gets a word more, by which its sum is wrong whatever came: a blob may be empty.
"""


Needs = Mapping[Part, list[Image]]
"""What images need -> the images."""


@dataclass(frozen=True)
class Verified:
    """What a verification has found.

    Args:
        parts: how many were read.
        size: their bytes.
        damage: all that is damaged.
        images: each part -> the images that need it.
        known: repository and digest of every manifest that the registry knows.
    """

    parts: int
    size: int
    damage: tuple[Damage, ...]
    images: Needs
    known: frozenset[str]


async def verify(kube: KubeClient, begin: Callable[[int], Callable[[Part], None]]) -> Verified:
    """Read every part of every image.

    Args:
        kube: client of the registry's cluster.
        begin: told how many bytes are going to be read; what it returns is told of each part that was.

    Raises:
        ClusterError: the registry cannot be read at all, which is never taken for damage.
    """
    seen = await read_contents(kube)
    needed = needs(seen)
    first = {part.digest: part for part in reversed(list(needed))}
    size = sum(part.size for part in first.values())
    read, damage = begin(size), list[Damage]()
    suspect = await damaged(kube, {part: "read" if first[part.digest] is part else "find" for part in needed}, read)
    if suspect:
        needed = needs(await read_contents(kube))
        keys = {part.key for part in suspect}
        suspect = await damaged(kube, {part: "read" for part in needed if part.key in keys}, lambda _: None)
        damage = await diagnose(kube, suspect, needed)
    known = frozenset(f"{repository}@{digest}" for repository, digest in seen.manifests)
    return Verified(len(first), size, tuple(damage), needed, known)


async def damaged(kube: KubeClient, parts: Mapping[Part, str], read: Callable[[Part], None]) -> list[Part]:
    """Ask the read door for parts, and return those whose bytes are not what they should be, or not there.

    Args:
        kube: client of the registry's cluster.
        parts: what to ask for -> "read" for its bytes, "find" for whether it is there.
        read: told of each whose bytes were read.

    Raises:
        ExecError: the pod ended, or its processes do.
        ForbiddenError: a right is missing.
    """
    waiting, found = iter(sorted(parts, key=lambda part: part.size, reverse=True)), list[Part]()

    async def read_some(_: int) -> None:
        command, seconds = ["sh", "-c", _READ], reading_seconds(parts)
        async with process_in_pod(kube, "reading what is stored", command, seconds=seconds) as process:
            async for part, answer in process.answers(waiting, lambda part: f"{parts[part]} {part.path}"):
                if parts[part] == "read":
                    read(part)
                if answer not in (part.digest, "there"):
                    found.append(part)

    await map_limited(read_some, range(READERS), at_once=READERS)
    return found


def needs(seen: Inventory) -> Needs:
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


def _parts(seen: Inventory, image: Image) -> Iterator[Part]:
    """All that an image needs, its manifests too."""
    for repository, digest in image.manifests:
        manifest = seen.manifests[repository, digest]
        for each in (digest, *(manifest.children if manifest else ())):
            yield Part(repository, each, is_manifest=True, size=seen.storage.blobs.get(each, 0))
        for blob, size in (manifest.blobs if manifest else {}).items():
            yield Part(repository, blob, is_manifest=False, size=size)
