"""A stack's own config file: what the fleet sets in it, and the secrets that only this file has.

A rollout keeps those secrets, and adds them to the settings. In `Pulumi.<stack>.yaml` a secret is a map with the single
key `secure`, which holds the encrypted text (pulumi/pulumi sdk/go/common/resource/config, object).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kube_registry.engine.program import Program
from kube_registry.fleet.entries import read_yaml
from kube_registry.fleet.fleet_file import Member, merged
from kube_registry.names import short_name
from kube_registry.spec.settings import Settings


async def configure(program: Program, member: Member) -> bool:
    """Write to a stack's config file what the fleet sets; return whether that changed it.

    Keys of the project that the fleet does not set are removed, unless they are secret. The rest of the file stays.
    """
    found = _read_config(program.folder, member)
    wanted = {key: _plain(value) for key, value in merged(kept_secrets(found, member.config), member.config).items()}
    kept = {key: _plain(value) for key, value in found.items()}
    if gone := [f"{member.project}:{key}" for key in kept.keys() - wanted.keys()]:
        await program.remove_config(member.name, gone)
    changed = {key: value for key, value in wanted.items() if kept.get(key) != value}
    if changed:
        values = {f"{member.project}:{key}": _as_pulumi_prints(value) for key, value in changed.items()}
        await program.set_config(member.name, values)
    return bool(gone or changed)


async def with_secrets(program: Program, member: Member) -> Member:
    """Return a stack whose settings include the secrets of its own file; `pulumi` is run only if there are any.

    Raises:
        SettingsError: the settings are invalid with these secrets.
    """
    secrets = kept_secrets(_read_config(program.folder, member), member.config)
    if not secrets:
        return member
    printed = await program.config(member.name)
    values = {_key(key, member): each.get("objectValue", each.get("value")) for key, each in printed.items()}
    config = merged(decrypted(secrets, values), member.config)
    settings = Settings.parse(config, project=member.project, stack=member.name, secret=secrets.keys())
    return replace(member, settings=settings)


def _read_config(folder: Path, member: Member) -> dict[str, Any]:
    """Return the config of the project in a stack's file; its keys have no project name."""
    file = folder / f"Pulumi.{short_name(member.name)}.yaml"
    content = read_yaml(file) if file.exists() else None
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        return {}  # there is none yet, or `pulumi` reports what is wrong with it
    return {_key(key, member): value for key, value in config.items() if ":" not in _key(key, member)}


def _key(key: str, member: Member) -> str:
    """Return a key without the project's name."""
    return key.removeprefix(f"{member.project}:")


def kept_secrets(found: Mapping[str, Any], wanted: Mapping[str, object]) -> dict[str, Any]:
    """Return the secrets in a stack's file that the fleet does not set: whole keys, and settings of the fleet's images.

    Args:
        found: the config in the file; its keys have no project name.
        wanted: what the fleet sets.
    """
    kept = {key: value for key, value in found.items() if _is_secret(value)}
    images, theirs = wanted.get("images"), found.get("images")
    if isinstance(images, Mapping) and isinstance(theirs, Mapping):
        kept["images"] = {name: theirs.get(name) for name in images}
    return _secrets(kept, wanted)


def decrypted(kept: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same secrets as plain text.

    Args:
        kept: the secrets, encrypted.
        plain: the whole config, decrypted.
    """
    return {key: plain[key] if _is_secret(value) else decrypted(value, plain[key]) for key, value in kept.items()}


def _secrets(found: object, wanted: object) -> dict[str, Any]:
    """Return the secrets in a map that another map does not set, at any depth."""
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


def _plain(value: object) -> object:
    """Return a value in the form of Pulumi's config: strings, and maps of strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, str) else json.dumps(value)


def _as_pulumi_prints(value: object) -> dict[str, object]:
    """Return a value in the form that `pulumi config --json` prints and `set-all --json` reads."""
    return {"value": value} if isinstance(value, str) else {"value": json.dumps(value), "objectValue": value}
