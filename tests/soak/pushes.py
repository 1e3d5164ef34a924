"""An image's way into the registry and back: pushed as the hooks have it pushed, read as a node reads it."""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from kube_registry.concurrency import poll
from kube_registry.errors import KubeRegistryError
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import ANY_MANIFEST
from lab.errors import LabError
from tests.bench import transfers
from tests.bench.transfers import PushError
from tests.soak.place import Place

PUSH_LIMIT_SECONDS = 600.0
"""A push that takes longer is a hang. The Docker engine tries a layer five times, which may each wait for a pod."""

READ_SECONDS = 60.0
"""How long the read door may take to answer after the registry was replaced."""

_LAYERS, _LAYER = 3, 16 * 1024**2


@dataclass(frozen=True)
class Pushed:
    """How a push ended.

    Attributes:
        digest: what the registry has acknowledged; None if it failed.
        tries: how often the Docker engine was asked.
        error: the one sentence that a person gets for a push that failed.
    """

    digest: str | None
    tries: int
    error: str | None = None


async def fresh_image(place: Place, name: str) -> str:
    """An image that no registry has, in the Docker engine under its push name."""
    image = place.settings.endpoints.push_name("soak", name)
    layers = [os.urandom(_LAYER) for _ in range(_LAYERS)]
    await asyncio.to_thread(transfers.load_image, place.docker_host, image, layers)
    return image


async def push(place: Place, path: PushPath, image: str, say: Callable[[str], None]) -> Pushed:
    """Push an image, try again where PushPath says so, as components/push_hooks.py does, and have the engine forget it.

    Raises:
        LabError: it hung.
    """
    try:
        async with asyncio.timeout(PUSH_LIMIT_SECONDS):
            return await _push(place, path, image, say)
    except TimeoutError:
        raise LabError(f"The push of {image} had no end within {PUSH_LIMIT_SECONDS:.0f} s.") from None
    finally:
        await asyncio.to_thread(transfers.remove_image, place.docker_host, image)


async def _push(place: Place, path: PushPath, image: str, say: Callable[[str], None]) -> Pushed:
    tries = 0
    try:
        await path.take(image, lambda _, line: say(line))
        while True:
            tries += 1
            try:
                return Pushed(await asyncio.to_thread(transfers.push_image, place.docker_host, image), tries)
            except PushError as error:
                say(f"the push failed: {error}")
                if not await path.recover(image, lambda _, line: say(line)):
                    return Pushed(None, tries, str(error))
    except KubeRegistryError as error:
        return Pushed(None, tries, str(error))
    finally:
        await path.give_back(image)


async def read_back(place: Place, digest: str, repository: str = "soak") -> None:
    """Read an image through the read door, every layer of it.

    Raises:
        LabError: something that was acknowledged is not there, or is not what it was.
    """

    async def manifest() -> bytes | None:
        return await asyncio.to_thread(_get, place, f"/v2/{repository}/manifests/{digest}")

    found = await poll(manifest, seconds=READ_SECONDS, pause=0.5)
    if not found:
        raise LabError(f"The read door has no manifest {digest}, which was acknowledged.")
    _check(found, digest)
    content: dict[str, Any] = json.loads(found)
    for blob in (content["config"], *content["layers"]):
        layer = await asyncio.to_thread(_get, place, f"/v2/{repository}/blobs/{blob['digest']}")
        _check(layer or b"", blob["digest"])


def _get(place: Place, path: str) -> bytes | None:
    with closing(HTTPConnection(*place.read_door, timeout=READ_SECONDS)) as connection:
        try:
            connection.request("GET", path, headers={"Accept": ANY_MANIFEST})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            return None
        return content if answer.status == 200 else None


def _check(content: bytes, digest: str) -> None:
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise LabError(f"The read door has {len(content)} other bytes for {digest}, which was acknowledged.")
