"""Whether every byte of a registry is what its name says: sha256 of all that its images need.

The bytes are read through the read door, as a node reads them, but inside the pod: what is far away is not carried
here, and nobody's network is filled. What several repositories share is read by one and asked for by the others. What
seems damaged is looked at once more, so that a garbage collection or a restart meanwhile is not taken for damage.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from kube_registry.housekeeping.damage import Damage, diagnose
from kube_registry.housekeeping.images import Image
from kube_registry.housekeeping.inventory import Look, read_contents
from kube_registry.housekeeping.verify_parts import Needs, Part, needs, reading_seconds
from kube_registry.kube.client import KubeClient
from kube_registry.names import READ_PORT
from kube_registry.registry.api import ANY_MANIFEST
from kube_registry.registry.door import open_door
from kube_registry.registry.pod_exec import Program, program_in_pod

READERS = 4
"""Programs that read at a time; two for each core that a small node has, for each also waits for the registry."""

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

    def harmed(self, damage: Damage) -> list[Image]:
        """The images that something damaged concerns."""
        return self.images[damage.part]


async def verify(kube: KubeClient, begin: Callable[[int], Callable[[Part], None]]) -> Verified:
    """Read every part of every image.

    Args:
        kube: client of the registry's cluster.
        begin: told how many bytes are going to be read; what it returns is told of each part that was.

    Raises:
        ClusterError: the registry cannot be read at all, which is never taken for damage.
    """
    seen = await _contents(kube)
    needed = needs(seen)
    first = {part.digest: part for part in reversed(list(needed))}
    size = sum(part.size for part in first.values())
    read, damage = begin(size), list[Damage]()
    suspect = await damaged(kube, {part: "read" if first[part.digest] is part else "find" for part in needed}, read)
    if suspect:
        needed = needs(await _contents(kube))
        keys = {part.key for part in suspect}
        suspect = await damaged(kube, {part: "read" for part in needed if part.key in keys}, lambda _: None)
        damage = await diagnose(kube, suspect, needed)
    known = frozenset(f"{repository}@{digest}" for repository, of in seen.manifests.items() for digest in of)
    return Verified(len(first), size, tuple(damage), needed, known)


async def _contents(kube: KubeClient) -> Look:
    async with open_door(kube, None) as registry:
        return await read_contents(kube, registry)


async def damaged(kube: KubeClient, parts: Mapping[Part, str], read: Callable[[Part], None]) -> list[Part]:
    """Ask the read door for parts, and return those whose bytes are not what they should be, or not there.

    Args:
        kube: client of the registry's cluster.
        parts: what to ask for -> "read" for its bytes, "find" for whether it is there.
        read: told of each whose bytes were read.

    Raises:
        ExecError: the pod ended, or its programs do.
        ForbiddenError: a right is missing.
    """
    waiting, found = iter(sorted(parts, key=lambda part: part.size, reverse=True)), list[Part]()

    async def ask(program: Program) -> None:
        async for part, answer in program.answers(waiting, lambda part: f"{parts[part]} {part.path}"):
            if parts[part] == "read":
                read(part)
            if answer not in (part.digest, "there"):
                found.append(part)

    try:
        async with AsyncExitStack() as open_programs, asyncio.TaskGroup() as group:
            for _ in range(READERS):
                program = await open_programs.enter_async_context(
                    program_in_pod(kube, "reading what is stored", ["sh", "-c", _READ], seconds=reading_seconds(parts))
                )
                group.create_task(ask(program))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return found
