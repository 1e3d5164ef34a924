"""A hash of everything that decides what an update does, stored in the update's message.

From that message, the next rollout finds out, without running anything, whether the program, the files of the images or
the config have changed since the last update. An update by hand leaves another message, so that stack is run again.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from kube_registry.build.build import read_builds
from kube_registry.fleet.fleet_file import Member

PROGRAM = (
    "Pulumi.yaml",
    "__main__.py",
    "requirements.txt",
    "components",
    "kube_registry/__init__.py",
    "kube_registry/build",
    "kube_registry/concurrency.py",
    "kube_registry/docker_daemon",
    "kube_registry/errors.py",
    "kube_registry/foreign_json.py",
    "kube_registry/imports.py",
    "kube_registry/kube",
    "kube_registry/kubeconfig_setting.py",
    "kube_registry/lease",
    "kube_registry/limits.py",
    "kube_registry/names.py",
    "kube_registry/preflight",
    "kube_registry/processes.py",
    "kube_registry/push",
    "kube_registry/registry",
    "kube_registry/shared_volume",
    "kube_registry/spec",
    "kube_registry/text.py",
    "kube_registry/tunnel",
)
"""What an update imports; tests/test_layout.py compares it with the imports."""

_SKIPPED = frozenset(("__pycache__", ".venv"))
"""Generated folders; components/.venv is that of the plugin, and appears when an example in YAML is run."""


def message_of(member: Member, folder: Path, program: str) -> str:
    """Return the message that an update of a stack leaves in its state.

    Args:
        member: the stack.
        folder: folder of the program.
        program: its `program_hash`.

    Raises:
        BuildContextError: the files of an image cannot be read.
    """
    settings = member.settings
    references = [
        settings.endpoints.tagged_reference(build.image, build.tag) for build in read_builds(settings, folder)
    ]
    decides = json.dumps([program, references, member.config], sort_keys=True, default=dict)
    return f"registryctl fleet up, {hashlib.sha256(decides.encode()).hexdigest()[:16]}"


def program_hash(folder: Path) -> str:
    """Return a hash of the program's files."""
    digest = hashlib.sha256()
    for file in _files(folder):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for name in PROGRAM:
        place = folder / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (
            file for file in found if file.is_file() and not _SKIPPED.intersection(file.relative_to(place).parts)
        )
