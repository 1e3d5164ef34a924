"""The relay's image, made on the spot from its program and loaded, so that nothing is pulled."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

REPOSITORY = "kube-registry/relay"


def relay_program(architecture: str) -> bytes:
    """The relay as a static program for Linux.

    Args:
        architecture: as Go names it: amd64 or arm64.

    Raises:
        FileNotFoundError: there is none for this architecture.
    """
    return Path(__file__).with_name(f"relay-{architecture}").read_bytes()


def relay_image(architecture: str) -> str:
    """The image's name, whose tag is a hash of the program.

    Raises:
        FileNotFoundError: there is none for this architecture.
    """
    return f"{REPOSITORY}:{hashlib.sha256(relay_program(architecture)).hexdigest()[:12]}"


def relay_archive(architecture: str) -> bytes:
    """The image as `docker load` takes it: the format of `docker save` (Docker image specification v1.2).

    The same bytes for the same program.

    Raises:
        FileNotFoundError: there is none for this architecture.
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
