"""Create the images that a cluster needs before it has a registry, from programs on this machine.

The result is one archive for both `ctr images import` and `docker load`. It is reproducible: the same files give the
same bytes.
"""

import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab.parts import REGISTRY_VERSION
from lab.toolchain import make, tool

PAUSE = "lab.local/pause:1"
"""The image of a pod's pause container; containerd is configured with this name."""

BUSYBOX = "docker.io/library/busybox:stable"
"""The name of the public image, so that the same Dockerfile builds with and without the lab."""

REGISTRY = f"docker.io/library/registry:{REGISTRY_VERSION}"

PROXY = "docker.io/library/haproxy:3.2-alpine"
"""The node proxy's default image. In the lab it contains Debian's HAProxy, an older version, and a shell."""

_FORMAT = 3
"""Increase this when the same files result in another archive."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image with one layer.

    Attributes:
        name: its full name and tag.
        programs: path in the image, without the leading slash -> file on this machine.
        links: path in the image of a symlink -> its target.
        entrypoint: the program to run.
        command: its arguments, which a container may override.
        stop_signal: the signal that stops it; SIGTERM if None.
    """

    name: str
    programs: dict[str, Path]
    links: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    stop_signal: str | None = None


def all_images() -> tuple[Image, ...]:
    """Return the images, with the programs of this machine.

    Raises:
        LabError: a program is missing.
    """
    busybox = tool("busybox")
    applets = {f"bin/{applet}": "busybox" for applet in _ask(busybox, "--list").split() if applet != "busybox"}
    return (
        Image(PAUSE, {"bin/busybox": busybox}, entrypoint=("/bin/busybox", "sleep", "infinity")),
        Image(BUSYBOX, {"bin/busybox": busybox}, links=applets, command=("sh",)),
        Image(
            REGISTRY,
            {"bin/busybox": busybox, "bin/registry": tool("registry")},
            links=applets,
            entrypoint=("registry",),
            command=("serve", "/etc/distribution/config.yml"),
        ),
        Image(
            PROXY,
            {"bin/busybox": busybox, "bin/haproxy": tool("haproxy"), **_libraries(tool("haproxy"))},
            links=applets,
            command=("haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
            stop_signal="SIGUSR1",
        ),
    )


def archive() -> Path:
    """Return the archive of all images; it is created on the first call.

    Raises:
        LabError: a program for an image is missing.
    """
    images = all_images()
    files = sorted({file for image in images for file in image.programs.values()})
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    recipe = f"{_FORMAT} {platform.machine()} {images} {contents}"
    key = f"images-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    return make(key, partial(_build, images)) / "images.tar"


def _build(images: tuple[Image, ...], _work: Path, result: Path, _log: Path) -> None:
    manifest = []
    with tarfile.open(result / "images.tar", "w") as tar:
        for image in images:
            layer = _layer(image)
            layer_digest = hashlib.sha256(layer).hexdigest()
            config = _config(image, layer_digest)
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(tar, f"{layer_digest}.tar", layer)
            _add(tar, config_name, config)
            manifest.append({"Config": config_name, "RepoTags": [image.name], "Layers": [f"{layer_digest}.tar"]})
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _layer(image: Image) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        _add_folder(tar, "bin", 0o755)
        _add_folder(tar, "tmp", 0o1777)
        for name, file in sorted(image.programs.items()):
            _add(tar, name, file.read_bytes(), 0o755)
        for name, target in sorted(image.links.items()):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return content.getvalue()


def _config(image: Image, layer_digest: str) -> bytes:
    run = {
        "Env": ["PATH=/bin"],
        "Entrypoint": image.entrypoint or None,
        "Cmd": image.command or None,
        "StopSignal": image.stop_signal,
    }
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }
    return json.dumps(config, sort_keys=True).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _libraries(program: Path) -> dict[str, Path]:
    """Return a program's shared libraries and loader: path in an image -> file on this machine."""
    found = re.findall(r"(/\S+) \(0x", _ask(Path("ldd"), str(program)))
    return {library.removeprefix("/"): Path(library) for library in found}


def _ask(program: Path, question: str) -> str:
    done = subprocess.run([program, question], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout + done.stderr
