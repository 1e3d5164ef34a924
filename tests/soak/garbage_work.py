"""What the processes of the garbage part do, each from its beginning to its end: one push, or one collection.

What has been pushed and read back is handed out by a file, as a stack's outputs do it.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

from kube_registry.housekeeping.gc import collect
from kube_registry.housekeeping.gc_plan import Keep, plan_gc
from kube_registry.housekeeping.inventory import take_inventory
from kube_registry.housekeeping.usage import Use, output_uses
from kube_registry.kube.client import open_client
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import open_registry
from kube_registry.registry.read_back import missing_content
from kube_registry.spec.settings import Settings
from lab.errors import LabError
from tests.bench import transfers

_LAYER = 2 * 1024**2
_KEEP = Keep(newest=1)


def push(settings: Settings, docker_host: str, folder: Path, repository: str, layers: Sequence[str]) -> None:
    """Push an image, read it back and hand it out, as an update does.

    Args:
        settings: of the registry, with a push port of its own.
        docker_host: the Docker engine.
        folder: where references are handed out.
        repository: the image's.
        layers: a seed for the bytes of each.
    """
    name = settings.endpoints.push_name(repository, f"t{os.getpid()}")
    transfers.load_image(docker_host, name, [random.Random(layer).randbytes(_LAYER) for layer in layers])  # noqa: S311
    try:
        digest = asyncio.run(_push(settings, docker_host, name, repository))
    finally:
        transfers.remove_image(docker_host, name)
    reference = f"{settings.endpoints.pull_host}/{repository}@{digest}"
    new = folder / f".{os.getpid()}"
    new.write_text(reference)
    new.replace(folder / repository.replace("/", "-"))  # in one piece, whenever this is killed


def collect_garbage(settings: Settings, folder: Path) -> None:
    """Collect what is of no use, as `registryctl gc --keep 1 --yes` does."""
    asyncio.run(_collect(settings, output_uses("soak", handed_out(folder))))


def handed_out(folder: Path) -> dict[str, str]:
    """The references that were handed out last."""
    return {file.name: file.read_text() for file in folder.iterdir() if not file.name.startswith(".")}


async def _push(settings: Settings, docker_host: str, name: str, repository: str) -> str:
    path = PushPath(settings)
    await path.take(name, print)
    try:
        digest = await asyncio.to_thread(transfers.push_image, docker_host, name)
        async with (
            open_client(settings) as kube,
            open_registry(settings.endpoints.push_address, kube.where) as registry,
        ):
            if missing := await missing_content(registry, repository, digest):
                raise LabError(f"{name} is not whole: {missing}")
        return digest
    finally:
        await path.give_back(name)


async def _collect(settings: Settings, outputs: list[Use]) -> None:
    async with open_client(settings) as kube:
        seen = await take_inventory(kube, outputs)
        await collect(kube, outputs, _KEEP, plan_gc(kube.where, seen, _KEEP), print)
