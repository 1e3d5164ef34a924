"""Whether all that a digest stands for is in the registry: manifest, config and the length of every layer.

A manifest alone proves little: a volume that has lost blobs still answers for it, and so does the daemon, which pushes
no layer that it believes to be there.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from kube_registry.concurrency import map_limited
from kube_registry.foreign_json import read_json
from kube_registry.registry.api import RegistryClient, digest_of

Descriptor = Mapping[str, Any]
"""What a manifest says of a part: its digest and its size in bytes."""

AT_ONCE = 8
"""How many layers are asked for at a time."""


async def missing_content(registry: RegistryClient, repository: str, digest: str) -> list[str]:
    """What is missing of an image or of an index of several, or has another length than its manifest says.

    Args:
        registry: the door through which it is read.
        repository: the image's name in the registry.
        digest: of its manifest.

    Returns:
        Words for each part; none if all is there.

    Raises:
        RegistryError: the registry did not answer, or not whether it has a part; then nothing is known.
    """
    body = await registry.manifest(repository, digest)
    if wrong := _wrong("manifest", digest, body):
        return [wrong]
    if (parts := _parts(body or b"")) is None:
        return [f"manifest {digest} is none of an image or an index"]
    children, config, layers = parts
    said = [words for child in children for words in await missing_content(registry, repository, child)]
    if config:
        missing = await map_limited(partial(_missing_layer, registry, repository), layers, at_once=AT_ONCE)
        held = await registry.blob(repository, config["digest"])
        said += [words for words in (_wrong("config", config["digest"], held, config["size"]), *missing) if words]
    return said


def _parts(body: bytes) -> tuple[list[str], Descriptor | None, list[Descriptor]] | None:
    """Digests of an index's manifests, or config and layers of an image; None if it is neither."""
    try:
        manifest = read_json(body)
        if "manifests" in manifest:
            return [child["digest"] for child in manifest["manifests"]], None, []
        layers = {layer["digest"]: layer for layer in manifest["layers"]}  # an image may have one twice
        return [], manifest["config"], list(layers.values())
    except (ValueError, LookupError, TypeError):
        return None


def _wrong(what: str, digest: str, body: bytes | None, size: int | None = None) -> str | None:
    """What is wrong with bytes that were read; None if nothing is."""
    if body is None:
        return f"{what} {digest} is missing"
    if size is not None and len(body) != size:
        return f"{what} {digest} has {len(body)} of {size} bytes"
    return None if digest_of(body) == digest else f"{what} {digest} has other bytes"


async def _missing_layer(registry: RegistryClient, repository: str, layer: Descriptor) -> str | None:
    digest, size = layer["digest"], layer["size"]
    length = await registry.blob_length(repository, digest)
    if length is None:
        return f"layer {digest} is missing"
    return None if length == size else f"layer {digest} has {length} of {size} bytes"
