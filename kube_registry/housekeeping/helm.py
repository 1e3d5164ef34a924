"""Helm's releases: what each revision has rendered, and the values that it was given.

Source: Helm 3, pkg/storage/driver/util.go: `release` is JSON, compressed by gzip, in base64. A Secret has that in
base64 once more, as all of its data; a ConfigMap (HELM_DRIVER=configmap) has it as it is.
"""

import base64
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 64 * 1024**2
"""Bytes of a release that are read: a megabyte in a Secret may unfold to a thousand."""

_GZIP = 16 + zlib.MAX_WBITS


def release_texts(of: Mapping[str, Any], *, encoded: bool) -> Iterator[str]:
    """Yield the JSON of a release, as a text in which references can be found.

    Args:
        of: a Secret or ConfigMap; another object, or one without a release, has none.
        encoded: whether it is a Secret.
    """
    labels, data = of["metadata"].get("labels") or {}, of.get("data")
    release = data.get("release") if labels.get("owner") == "helm" and isinstance(data, dict) else None
    if not isinstance(release, str):
        return
    try:
        inner = base64.b64decode(base64.b64decode(release) if encoded else release)
        text = zlib.decompressobj(_GZIP).decompress(inner, _LONGEST).decode(errors="replace")
    except (ValueError, zlib.error):
        return  # Helm cannot read it either
    yield text.replace("\\n", "\n")  # lines of a manifest within a string of JSON
