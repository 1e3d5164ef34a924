"""The relay's image, built here from its program and loaded into the daemon, so that nothing is pulled."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

REPOSITORY = "kube-registry/relay"


def relay_program(architecture: str) -> bytes:
    """Return the relay's program, a static binary for Linux.

    Args:
        architecture: Go's name of it: amd64 or arm64.

    Raises:
        FileNotFoundError: the architecture is not supported.
    """
    return Path(__file__).with_name(f"relay-{architecture}").read_bytes()


def relay_image(architecture: str) -> str:
    """Return the image's name; its tag is a hash of the program.

    Raises:
        FileNotFoundError: the architecture is not supported.
    """
    return f"{REPOSITORY}:{hashlib.sha256(relay_program(architecture)).hexdigest()[:12]}"


def relay_archive(architecture: str) -> bytes:
    """Return the image in the format of `docker save` and `docker load` (Docker image specification v1.2).

    The bytes are the same for the same program.

    Raises:
        FileNotFoundError: the architecture is not supported.
    """
    layer = _tar({"relay": relay_program(architecture)}, mode=0o755)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/relay"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [relay_image(architecture)], "Layers": ["layer.tar"]}]
    files = {"layer.tar": layer, config_name: config, "manifest.json": json.dumps(manifest).encode()}
    return _tar(files, mode=0o644)


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()
