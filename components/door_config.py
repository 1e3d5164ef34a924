"""The configuration of the registry's two doors; pure."""

import json
from typing import Any, Final

from kube_registry.names import READ_PORT, WRITE_PORT
from kube_registry.spec.sections import S3Settings
from kube_registry.spec.settings import RegistrySettings

from .metrics import debug_server

STORAGE: Final = "/var/lib/registry"
"""Where the volume is mounted."""

DRAIN_SECONDS: Final = 50
"""How long a pod that ends continues its transfers."""

CHECK_SECONDS: Final = 60
"""How often a door checks that its bucket responds; a request for a blob finds out at once."""


def config_files(settings: RegistrySettings) -> dict[str, str]:
    """Return the configuration files of the two doors: file name -> text.

    Neither has a `cache` block: with it, the registry reports after a garbage collection that it has layers that were
    deleted. Locations are relative URLs, so that they work through the tunnel and through a node. Only the read door
    redirects to a bucket, because the machine that pushes may not reach it. The text is JSON, which is valid YAML.
    """
    purging = {"enabled": True, "age": "24h", "interval": "6h", "dryrun": False}
    frozen = {"uploadpurging": {"enabled": False}, "readonly": {"enabled": True}}
    there = _storage(settings.s3)
    direct = {"redirect": {"disable": True}} if settings.s3 else {}
    write = {**there, **direct, "delete": {"enabled": True}, "maintenance": {"uploadpurging": purging}}
    read = {**there, **({} if settings.s3 and settings.s3.redirect else direct), "maintenance": frozen}
    configs = {
        "write.yml": _config(f"127.0.0.1:{WRITE_PORT}", write, settings.s3),
        "read.yml": _config(f":{READ_PORT}", read, settings.s3),
    }
    configs["read.yml"]["http"] |= debug_server(settings.metrics)
    return {name: json.dumps(config, indent=2) for name, config in configs.items()}


def _storage(s3: S3Settings | None) -> dict[str, Any]:
    """Return the storage driver; the credentials of a bucket are in environment variables, never in the ConfigMap."""
    if s3 is None:
        return {"filesystem": {"rootdirectory": STORAGE}}
    server = {"regionendpoint": s3.endpoint, "forcepathstyle": True} if s3.endpoint else {}
    folder = {"rootdirectory": s3.root_folder} if s3.root_folder else {}
    return {"s3": {"region": s3.region, "bucket": s3.bucket, **server, **folder}}


def _config(address: str, storage: dict[str, Any], s3: S3Settings | None) -> dict[str, Any]:
    """Return the configuration of a door. Its health check costs two paid requests of a bucket, so it is a rare one."""
    interval, drain = (CHECK_SECONDS, DRAIN_SECONDS) if s3 else (10, 10)
    return {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": storage,
        "http": {"addr": address, "relativeurls": True, "draintimeout": f"{drain}s"},
        "health": {"storagedriver": {"enabled": True, "interval": f"{interval}s", "threshold": 3}},
    }
