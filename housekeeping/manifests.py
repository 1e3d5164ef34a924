"""Manifests read from a registry: what each is made of, and what belongs to it."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.registry import RegistryClient, digest_of
from cluster.several import several
from housekeeping.storage import Storage
from stack.registry_errors import RegistryError

AT_ONCE = 16
"""How many manifests are asked for at a time."""


@dataclass(frozen=True)
class Manifest:
    """An image, or an index of several.

    Args:
        blobs: digest -> bytes of config and layers.
        children: digests of an index's manifests.
        subject: digest of the manifest that it tells something of, as a signature does.
        platforms: of the image, or of those in the index.
    """

    blobs: Mapping[str, int]
    children: tuple[str, ...]
    subject: str | None
    platforms: tuple[str, ...]


Manifests = Mapping[str, Mapping[str, Manifest | None]]
"""Repository -> digest -> what it is; None where its bytes are gone, or make no sense."""


async def read_manifests(registry: RegistryClient, storage: Storage) -> Manifests:
    """Read every manifest that lies on the volume.

    Args:
        registry: a door.
        storage: what lies there.

    Raises:
        RegistryError: the registry does not answer.
    """
    pairs = [(repository, digest) for repository, digests in storage.manifests.items() for digest in digests]
    found = await several(lambda pair: _read(registry, *pair), pairs, at_once=AT_ONCE)
    manifests: defaultdict[str, dict[str, Manifest | None]] = defaultdict(dict)
    for (repository, digest), manifest in zip(pairs, found, strict=True):
        manifests[repository][digest] = manifest
    return manifests


async def _read(registry: RegistryClient, repository: str, digest: str) -> Manifest | None:
    try:
        body = await registry.manifest(repository, digest)
    except RegistryError as error:
        if error.status is None:
            raise
        return None  # it has answered that it makes no sense of it
    if body is None or digest_of(body) != digest:
        return None
    content: dict[str, Any] = json.loads(body)
    subject = content.get("subject", {}).get("digest")
    if "manifests" in content:
        children = content["manifests"]
        platforms = dict.fromkeys(_platform(child["platform"]) for child in children if "platform" in child)
        return Manifest({}, tuple(child["digest"] for child in children), subject, tuple(platforms))
    parts = [content["config"], *content["layers"]] if "config" in content else content.get("blobs", [])
    blobs = {part["digest"]: int(part["size"]) for part in parts}
    return Manifest(blobs, (), subject, await _platforms(registry, repository, content))


async def _platforms(registry: RegistryClient, repository: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The platform that an image's config names; none of what is no image to run."""
    config = content.get("config", {})
    if not str(config.get("mediaType", "")).endswith(("container.image.v1+json", "oci.image.config.v1+json")):
        return ()
    body = await registry.blob(repository, config["digest"])
    try:
        return (_platform(json.loads(body or b"{}")),)
    except (ValueError, KeyError):
        return ()


def _platform(of: Mapping[str, Any]) -> str:
    return "/".join(str(of[key]) for key in ("os", "architecture", "variant") if of.get(key))
