"""The image that the preflight pulls: one empty layer, a few hundred bytes, always the same bytes."""

import gzip
import json
import tarfile

from kube_registry.names import PROBE_REPOSITORY as REPOSITORY
from kube_registry.registry.api import RegistryClient, digest_of

TAG = "probe"

_EMPTY_LAYER = bytes(tarfile.RECORDSIZE)
"""A tar archive of nothing: one record of zeros (POSIX pax, "ustar Interchange Format")."""


def probe_config(platform: str) -> bytes:
    """Return the image's configuration (OCI image specification, config.md).

    Args:
        platform: os/architecture[/variant].
    """
    system, architecture, *variant = platform.split("/")
    config = {
        "architecture": architecture,
        "os": system,
        **({"variant": variant[0]} if variant else {}),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(_EMPTY_LAYER)]},
    }
    return json.dumps(config).encode()


async def store_probe(registry: RegistryClient, platform: str) -> str:
    """Store the image, and delete its predecessor from the repository.

    Args:
        registry: a client of the write door.
        platform: the build platform.

    Returns:
        The digest of its manifest.
    """
    before = await registry.tagged(REPOSITORY, TAG)
    stored = await registry.put_image(REPOSITORY, TAG, probe_config(platform), gzip.compress(_EMPTY_LAYER, mtime=0))
    if before and before != stored:
        await registry.delete(REPOSITORY, before)
    return stored
