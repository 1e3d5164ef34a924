"""Helm releases: the rendered manifests of each revision, and its values.

Source: Helm 3, pkg/storage/driver/util.go: `release` is JSON, compressed with gzip, in base64. A Secret has that in
base64 once more, like all of its data; a ConfigMap (HELM_DRIVER=configmap) has it without.
"""

import base64
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 64 * 1024**2
"""The most bytes of a release that are read: a megabyte in a Secret may decompress to a thousand."""

_GZIP = 16 + zlib.MAX_WBITS


def release_texts(holder: Mapping[str, Any], *, encoded: bool) -> Iterator[str]:
    """Yield the JSON of a release, as a text in which references can be found; nothing if there is no release.

    Args:
        holder: a Secret or ConfigMap, or another object.
        encoded: whether it is a Secret.
    """
    labels, data = holder["metadata"].get("labels") or {}, holder.get("data")
    release = data.get("release") if labels.get("owner") == "helm" and isinstance(data, dict) else None
    if not isinstance(release, str):
        return
    try:
        inner = base64.b64decode(base64.b64decode(release) if encoded else release)
        text = zlib.decompressobj(_GZIP).decompress(inner, _LONGEST).decode(errors="replace")
    except (ValueError, zlib.error):
        return  # Helm cannot read it either
    yield text.replace("\\n", "\n")  # line ends of a manifest within a JSON string
