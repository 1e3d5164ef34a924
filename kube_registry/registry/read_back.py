"""Check that an image is completely in the registry: its manifest, its config and the length of every layer.

A manifest alone proves little: a volume that has lost blobs may still have it. A successful push proves no more,
because the daemon skips layers that it expects to be in the registry.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from kube_registry.concurrency import map_limited
from kube_registry.foreign_json import read_json
from kube_registry.registry.api import RegistryClient, digest_of

Descriptor = Mapping[str, Any]
"""A manifest's entry for a part: its digest and its size in bytes."""

AT_ONCE = 8
"""How many layers are checked at a time."""


async def missing_content(registry: RegistryClient, repository: str, digest: str) -> list[str]:
    """Return which parts of an image, or of an index, are missing or have another length than in the manifest.

    Args:
        registry: client of a door.
        repository: the image's name in the registry.
        digest: digest of the manifest.

    Returns:
        A description of each such part; empty if the image is complete.

    Raises:
        RegistryError: the registry did not answer for every part, so the result is unknown.
    """
    body = await registry.manifest(repository, digest)
    if wrong := _wrong("manifest", digest, body):
        return [wrong]
    if (parts := _parts(body or b"")) is None:
        return [f"manifest {digest} is neither an image nor an index"]
    children, config, layers = parts
    found = [words for child in children for words in await missing_content(registry, repository, child)]
    if config:
        missing = await map_limited(partial(_missing_layer, registry, repository), layers, at_once=AT_ONCE)
        held = await registry.blob(repository, config["digest"])
        found += [words for words in (_wrong("config", config["digest"], held, config["size"]), *missing) if words]
    return found


def _parts(body: bytes) -> tuple[list[str], Descriptor | None, list[Descriptor]] | None:
    """Return the digests of an index's manifests, or config and layers of an image; None if it is neither."""
    try:
        manifest = read_json(body)
        if "manifests" in manifest:
            return [child["digest"] for child in manifest["manifests"]], None, []
        layers = {layer["digest"]: layer for layer in manifest["layers"]}  # an image may have a layer twice
        return [], manifest["config"], list(layers.values())
    except (ValueError, LookupError, TypeError):
        return None


def _wrong(what: str, digest: str, body: bytes | None, size: int | None = None) -> str | None:
    """Return what is wrong with a part that was read; None if it is intact."""
    if body is None:
        return f"{what} {digest} is missing"
    if size is not None and len(body) != size:
        return f"{what} {digest} has {len(body)} of {size} bytes"
    return None if digest_of(body) == digest else f"{what} {digest} does not match its digest"


async def _missing_layer(registry: RegistryClient, repository: str, layer: Descriptor) -> str | None:
    digest, size = layer["digest"], layer["size"]
    length = await registry.blob_length(repository, digest)
    if length is None:
        return f"layer {digest} is missing"
    return None if length == size else f"layer {digest} has {length} of {size} bytes"
