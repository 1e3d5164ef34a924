"""Check that the content of a registry matches its digests: the sha256 of everything that its images need.

The bytes are read through the read door, as nodes read them, but inside the pod, so that they do not cross the network.
Content that several repositories share is read from one of them; the others are only checked to have it. What seems
damaged is read a second time, so that a garbage collection or a restart in between is not taken for damage.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from kube_registry.concurrency import map_limited
from kube_registry.housekeeping.damage import Damage, Part, diagnose, in_bucket, reading_seconds
from kube_registry.housekeeping.inventory import Image, Inventory, read_contents
from kube_registry.housekeeping.tagged import read_tagged
from kube_registry.housekeeping.volume_listing import Key
from kube_registry.kube.client import KubeClient
from kube_registry.names import READ_PORT
from kube_registry.registry.api import ANY_MANIFEST
from kube_registry.registry.pod_exec import process_in_pod
from kube_registry.spec.sections import S3Settings

READERS = 4
"""How many processes read at once: two for each core of a small node, as each also waits for the registry."""

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
"""Reads the parts named on its standard input, one per line, with options that GNU and BusyBox have in common.

A word is appended to content that cannot be read to its end, so that its sum is wrong in any case: a blob may be empty.
"""


Needs = Mapping[Part, list[Image]]
"""What images need -> the images."""


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Args:
        parts: how many parts were read.
        size: their bytes.
        damage: all damaged parts.
        images: each part -> the images that need it.
        known: repository and digest of every manifest in the registry.
    """

    parts: int
    size: int
    damage: tuple[Damage, ...]
    images: Needs
    known: frozenset[str]


async def verify(
    kube: KubeClient,
    begin: Callable[[int], Callable[[Part], None]],
    *,
    s3: S3Settings | None = None,
    named: Collection[Key] = (),
) -> Verified:
    """Read every part of every image.

    Args:
        kube: client of the registry's cluster.
        begin: called with the number of bytes to read; returns a function that is called with each part that was read.
        s3: the registry's bucket; None if it has a volume. Of a bucket, only images with a tag are read.
        named: manifests to read as well.

    Raises:
        ClusterError: the registry cannot be read at all, which does not count as damage.
    """

    async def read_all() -> Inventory:
        return await (read_tagged(kube, named) if s3 else read_contents(kube))

    seen = await read_all()
    needed = needs(seen)
    first = {part.digest: part for part in reversed(list(needed))}
    size = sum(part.size for part in first.values())
    read, damage = begin(size), list[Damage]()
    suspect = await damaged(kube, {part: "read" if first[part.digest] is part else "find" for part in needed}, read)
    if suspect:
        needed = needs(await read_all())
        keys = {part.key for part in suspect}
        suspect = await damaged(kube, {part: "read" for part in needed if part.key in keys}, lambda _: None)
        damage = [in_bucket(each, s3.root_folder) for each in suspect] if s3 else await diagnose(kube, suspect, needed)
    known = frozenset(f"{repository}@{digest}" for repository, digest in seen.manifests)
    return Verified(len(first), size, tuple(damage), needed, known)


async def damaged(kube: KubeClient, parts: Mapping[Part, str], read: Callable[[Part], None]) -> list[Part]:
    """Read parts through the read door, and return those that are missing or do not match their digest.

    Args:
        kube: client of the registry's cluster.
        parts: part -> "read" to read its bytes, "find" to check that it is there.
        read: called with each part whose bytes were read.

    Raises:
        ExecError: the pod, or a process in it, ended.
        ForbiddenError: a permission is missing.
    """
    waiting, found = iter(sorted(parts, key=lambda part: part.size, reverse=True)), list[Part]()

    async def read_some(_: int) -> None:
        command, seconds = ["sh", "-c", _READ], reading_seconds(parts)
        async with process_in_pod(kube, "reading its content", command, seconds=seconds) as process:
            async for part, answer in process.answers(waiting, lambda part: f"{parts[part]} {part.path}"):
                if parts[part] == "read":
                    read(part)
                if answer not in (part.digest, "there"):
                    found.append(part)

    await map_limited(read_some, range(READERS), at_once=READERS)
    return found


def needs(seen: Inventory) -> Needs:
    """Return everything that the images of a registry need, once for each repository, even if it is missing.

    Args:
        seen: inventory of the registry.
    """
    parts: dict[tuple[str, str], Part] = {}
    images: defaultdict[tuple[str, str], list[Image]] = defaultdict(list)
    for image in seen.images:
        needed = {part.key: part for part in _parts(seen, image)}
        parts |= needed
        for key in needed:
            images[key].append(image)
    return {part: images[key] for key, part in parts.items()}


def _parts(seen: Inventory, image: Image) -> Iterator[Part]:
    """Yield everything that an image needs, including its manifests."""
    for repository, digest in image.manifests:
        manifest = seen.manifests[repository, digest]
        for each in (digest, *(manifest.children if manifest else ())):
            yield Part(repository, each, is_manifest=True, size=seen.storage.blobs.get(each, 0))
        for blob, size in (manifest.blobs if manifest else {}).items():
            yield Part(repository, blob, is_manifest=False, size=size)
