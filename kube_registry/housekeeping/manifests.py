"""Manifests read from a registry: what each contains, and what belongs to it.

Registries hold more than images: BuildKit's cache indexes list layers as "manifests", attestations have no platform,
and some tools write null for an empty list. Other content than images is read as far as possible; only bytes that are
missing, changed or not a JSON object are unreadable.

Sources: OCI image specification 1.1, manifest.md and image-index.md; image manifest version 2, schema 1 and 2.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kube_registry.concurrency import map_limited
from kube_registry.foreign_json import read_json
from kube_registry.housekeeping.volume_listing import Key, Storage
from kube_registry.registry.api import RegistryClient, digest_of
from kube_registry.registry.errors import RegistryError

AT_ONCE = 16
"""How many manifests are requested at once."""

_MANIFESTS = ("manifest.v1+json", "manifest.v2+json", "manifest.list.v2+json", "index.v1+json", "manifest.v1+prettyjws")
"""Suffixes of the media types of manifests and indexes, Docker's and OCI's."""

_RUNNABLE = ("container.image.v1+json", "oci.image.config.v1+json")
"""Suffixes of the media types of a config that names a platform."""


@dataclass(frozen=True)
class Manifest:
    """An image, or an index of several.

    Args:
        blobs: digest -> bytes of config and layers.
        children: digests of the manifests in an index.
        subject: digest of the manifest that it refers to, as a signature does.
        platforms: platforms of the image, or of the images in the index.
        config: digest of the config, by which some container runtimes name an image.
    """

    blobs: Mapping[str, int]
    children: tuple[str, ...]
    subject: str | None
    platforms: tuple[str, ...]
    config: str | None = None


Manifests = Mapping[Key, Manifest | None]
"""Every manifest of a registry; None if its bytes are missing or unreadable."""


async def read_manifests(registry: RegistryClient, storage: Storage) -> Manifests:
    """Read every manifest on the volume.

    Args:
        registry: client of one of the doors.
        storage: what is on the volume.

    Raises:
        RegistryError: the registry does not respond.
    """
    found = await map_limited(lambda key: _read(registry, storage, *key), storage.manifests, at_once=AT_ONCE)
    return dict(zip(storage.manifests, found, strict=True))


def parse_manifest(body: bytes, storage: Storage, repository: str) -> Manifest | None:
    """Parse the JSON of a manifest, from any tool; None if it is not a JSON object.

    The platform of an image is in its config, so only an index has platforms here.

    Args:
        body: its bytes.
        storage: what is on the volume, which decides if a descriptor is incomplete.
        repository: repository of the manifest.
    """
    content = _json_object(body)
    if content is None:
        return None
    config, subject = (next(_listed([content.get(key)]), None) for key in ("config", "subject"))
    listed = list(_listed(content.get("manifests")))
    children = [each for each in listed if _is_manifest(each, storage, repository)]
    layers = [each for each in listed if each not in children]  # those of a build cache
    layers += [each for key in ("layers", "blobs") for each in _listed(content.get(key))]
    needed = [each for each in (config, *layers) if each and not _is_elsewhere(each, storage)]
    blobs = {each["digest"]: _size(each, storage) for each in needed}
    schema_1 = [each["blobSum"] for each in _listed(content.get("fsLayers"), named_by="blobSum")]
    blobs |= {digest: storage.blobs.get(digest, 0) for digest in schema_1}
    platforms = dict.fromkeys(platform for each in children if (platform := _platform(each.get("platform"))))
    return Manifest(
        blobs,
        tuple(each["digest"] for each in children),
        subject["digest"] if subject else None,
        tuple(platforms),
        config["digest"] if config and str(config.get("mediaType")).endswith(_RUNNABLE) else None,
    )


async def _read(registry: RegistryClient, storage: Storage, repository: str, digest: str) -> Manifest | None:
    try:
        body = await registry.manifest(repository, digest)
    except RegistryError as error:
        if error.status is None:
            raise
        return None  # the registry cannot read it either
    if body is None or digest_of(body) != digest:
        return None
    manifest = parse_manifest(body, storage, repository)
    if manifest is None or manifest.config is None:
        return manifest
    platform = _platform(_json_object(await registry.blob(repository, manifest.config) or b"{}"))
    return replace(manifest, platforms=(platform,) if platform else ())


def _json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = read_json(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _listed(value: object, *, named_by: str = "digest") -> Iterator[Mapping[str, Any]]:
    """Yield the descriptors of a list, which may be null: objects that have a string under a key."""
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict) and isinstance(each.get(named_by), str):
            yield each


def _is_manifest(descriptor: Mapping[str, Any], storage: Storage, repository: str) -> bool:
    """Return whether an entry of an index is a manifest, by its media type or by what the repository stores."""
    media_type = str(descriptor.get("mediaType"))
    return media_type.endswith(_MANIFESTS) or (repository, descriptor["digest"]) in storage.manifests


def _is_elsewhere(descriptor: Mapping[str, Any], storage: Storage) -> bool:
    """Return whether a layer is fetched from a vendor's server, as for Windows, so that no registry has to store it."""
    return bool(descriptor.get("urls")) and descriptor["digest"] not in storage.blobs


def _size(descriptor: Mapping[str, Any], storage: Storage) -> int:
    size = descriptor.get("size")
    return size if isinstance(size, int) and size >= 0 else storage.blobs.get(descriptor["digest"], 0)


def _platform(found: object) -> str:
    """Return os/architecture/variant; empty if there is none, as for an attestation."""
    if not isinstance(found, dict) or found.get("os") in (None, "", "unknown"):
        return ""
    return "/".join(str(found[key]) for key in ("os", "architecture", "variant") if found.get(key))
