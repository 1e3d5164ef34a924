"""Secrets that only a stack's own file has: a rollout keeps them there, and knows them where settings matter.

In `Pulumi.<stack>.yaml` a secret is a map with the single key `secure`, which holds the encrypted text (pulumi/pulumi
sdk/go/common/resource/config, object).
"""

import json
from collections.abc import Mapping
from typing import Any


def kept_secrets(found: Mapping[str, Any], wanted: Mapping[str, object]) -> dict[str, Any]:
    """The secrets of a stack's file that the fleet does not set: whole keys, and settings of images that it has.

    Args:
        found: what the file has, keys without the project's name.
        wanted: what the fleet sets.
    """
    kept = {key: value for key, value in found.items() if _is_secret(value) and key not in wanted}
    images, theirs = wanted.get("images"), found.get("images")
    if isinstance(images, Mapping) and isinstance(theirs, Mapping) and not _is_secret(theirs):
        below = {name: _secrets(theirs.get(name), image) for name, image in images.items()}
        kept["images"] = {name: secrets for name, secrets in below.items() if secrets}
    return {key: value for key, value in kept.items() if value}


def decrypted(kept: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The same secrets as plain text.

    Args:
        kept: the secrets, encrypted.
        plain: the whole config, decrypted.
    """
    return {key: plain[key] if _is_secret(value) else decrypted(value, plain[key]) for key, value in kept.items()}


def config_values(printed: str, project: str) -> dict[str, Any]:
    """What `pulumi config --json` prints, as key -> value, keys without the project's name."""
    config: dict[str, Any] = json.loads(printed)
    return {
        key.removeprefix(f"{project}:"): entry.get("objectValue", entry.get("value")) for key, entry in config.items()
    }


def _secrets(found: object, wanted: object) -> dict[str, Any]:
    """The secrets of a map that another one does not set, at any depth."""
    if not isinstance(found, Mapping):
        return {}
    set_there = wanted if isinstance(wanted, Mapping) else {}
    below = {
        key: value if _is_secret(value) else _secrets(value, set_there.get(key))
        for key, value in found.items()
        if not (_is_secret(value) and key in set_there)
    }
    return {key: value for key, value in below.items() if value}


def _is_secret(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"secure"} and isinstance(value["secure"], str)
