"""Whether every byte of a registry is what its name says: sha256 of all that its images need.

The bytes are read through the read door, as a node reads them, but inside the pod: what is far away is not carried
here, and nobody's network is filled. What seems damaged is looked at once more, so that a garbage collection or a
restart meanwhile is not taken for damage.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain, islice

from cluster.exec import Program, program_in_pod
from cluster.kube import KubeClient
from cluster.push import ANSWER_SECONDS
from cluster.registry import ANY_MANIFEST, RegistryClient, digest_of, open_registry
from cluster.tunnel import open_tunnel
from housekeeping.images import Image
from housekeeping.inventory import Look, look, write_door
from housekeeping.storage import V2
from stack.names import READ_PORT
from stack.registry_errors import RegistryError

READERS = 4
"""Programs that read at a time; two for each core that a small node has, for each also waits for the registry."""

_AHEAD = 4
"""Parts that a reader is told of before it has answered for the first: it shall not wait for our voice."""

_READ = f"""\
while read -r digest path && [ "$digest" != end ]; do
  wget -q -O - --header 'Accept: {ANY_MANIFEST}' "http://127.0.0.1:{READ_PORT}$path" 2>/dev/null \
    | sha256sum | {{ read -r sum _; echo "$digest sha256:$sum"; }}
done
"""
"""Reads what it is told of on its standard input, a line each; GNU's and BusyBox's tools know these options."""


@dataclass(frozen=True)
class Part:
    """Something that an image needs.

    Args:
        repository: by which it is read.
        digest: what it has to be.
        is_manifest: whether it is a manifest or an index; a config or a layer if not.
        size: bytes that it has by a manifest that names it, or on the volume.
    """

    repository: str
    digest: str
    is_manifest: bool
    size: int

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{'manifest' if self.is_manifest else 'blob'} {self.digest}"

    @property
    def path(self) -> str:
        """Where the registry's API has it."""
        return f"/v2/{self.repository}/{'manifests' if self.is_manifest else 'blobs'}/{self.digest}"

    @property
    def files(self) -> list[str]:
        """Where the volume keeps it: what has to go for a push to store it anew."""
        number = self.digest.partition(":")[2]
        revision = f"{V2}/repositories/{self.repository}/_manifests/revisions/sha256/{number}"
        return [f"{V2}/blobs/sha256/{number[:2]}/{number}", *([revision] if self.is_manifest else [])]


Needs = Mapping[Part, list[Image]]
"""What images need -> the images."""


def needs(seen: Look) -> Needs:
    """Everything that the images of a registry need, each once, whether it is there or not.

    Args:
        seen: the registry.
    """
    parts: dict[str, Part] = {}
    images: defaultdict[str, list[Image]] = defaultdict(list)
    for image in seen.images:
        mine = {part.digest: part for part in _parts(seen, image)}
        parts |= mine
        for digest in mine:
            images[digest].append(image)
    return {part: images[digest] for digest, part in parts.items()}


@dataclass(frozen=True)
class Verified:
    """What a verification has found.

    Args:
        parts: how many were read.
        size: their bytes.
        damage: each part that is damaged -> what is wrong with it.
        images: each of those parts -> the images that need it.
    """

    parts: int
    size: int
    damage: Mapping[Part, str]
    images: Needs


async def verify(kube: KubeClient, begin: Callable[[Needs], Callable[[Part], None]]) -> Verified:
    """Read every part of every image.

    Args:
        kube: client of the registry's cluster.
        begin: told of all that is going to be read; what it returns is told of each part that was.

    Raises:
        ClusterError: the registry cannot be read at all, which is never taken for damage.
    """
    needed = needs(await _look(kube))
    suspect = await damaged(kube, needed, begin(needed))
    if suspect:
        still = needs(await _look(kube))
        suspect = await damaged(kube, (part for part in suspect if part in still), lambda _: None)
    words = await words_for(kube, suspect) if suspect else {}
    size = sum(part.size for part in needed)
    return Verified(len(needed), size, words, {part: needed[part] for part in suspect})


async def _look(kube: KubeClient) -> Look:
    async with write_door(kube) as registry:
        return await look(kube, registry, ())


async def damaged(kube: KubeClient, parts: Iterable[Part], read: Callable[[Part], None]) -> list[Part]:
    """Read parts, and return those whose bytes are not what they should be, or not there.

    Args:
        kube: client of the registry's cluster.
        parts: what to read.
        read: told of each that was.

    Raises:
        ExecError: the pod ended, or its programs do.
        ForbiddenError: a right is missing.
    """
    waiting, found = iter(sorted(parts, key=lambda part: part.size, reverse=True)), list[Part]()
    try:
        async with AsyncExitStack() as open_programs, asyncio.TaskGroup() as group:
            for _ in range(READERS):
                program = await open_programs.enter_async_context(
                    program_in_pod(kube, "reading what is stored", ["sh", "-c", _READ])
                )
                group.create_task(_read(program, waiting, read, found))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return found


async def words_for(kube: KubeClient, parts: Iterable[Part]) -> Mapping[Part, str]:
    """What is wrong with parts that are damaged, as the read door tells it.

    Args:
        kube: client of the registry's cluster.
        parts: the damaged ones.

    Raises:
        ClusterError: the read door cannot be asked.
    """
    async with (
        open_tunnel(kube, 0, seconds=ANSWER_SECONDS, door=READ_PORT) as tunnel,
        open_registry(tunnel.address, kube.where) as registry,
    ):
        return {part: await _words(registry, part) for part in parts}


async def _read(program: Program, waiting: Iterator[Part], read: Callable[[Part], None], found: list[Part]) -> None:
    """Have one program read what nobody has read yet."""
    told: dict[str, Part] = {}
    orders = chain(waiting, [None])

    async def tell_next() -> None:
        for part in islice(orders, 1):  # nothing any more once it was told the end
            if part:
                told[part.digest] = part
            await program.tell(f"{part.digest} {part.path}" if part else "end")

    for _ in range(_AHEAD):
        await tell_next()
    async for line in program.lines():
        digest, _, actual = line.partition(" ")
        part = told.pop(digest)
        read(part)
        if actual != digest:
            found.append(part)
        await tell_next()


def _parts(seen: Look, image: Image) -> Iterator[Part]:
    """All that an image needs, its manifests too."""
    for digest in image.manifests:
        manifest = seen.manifests[image.repository][digest]
        for each in (digest, *(manifest.children if manifest else ())):
            yield Part(image.repository, each, is_manifest=True, size=seen.storage.blobs.get(each, 0))
        for blob, size in (manifest.blobs if manifest else {}).items():
            yield Part(image.repository, blob, is_manifest=False, size=size)


async def _words(registry: RegistryClient, part: Part) -> str:
    try:
        if part.is_manifest:
            body = await registry.manifest(part.repository, part.digest)
            length = None if body is None else len(body)
            if body is not None and digest_of(body) == part.digest:
                return "could not be read"
        else:
            length = await registry.blob_length(part.repository, part.digest)
    except RegistryError as error:
        return f"cannot be read: {error.reason}"
    if length is None:
        return "is missing"
    return f"has {length} of {part.size} bytes" if length != part.size else "has other bytes"
