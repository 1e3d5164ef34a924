"""What an update imports that pushes nothing: each module costs time in every `pulumi up`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UPDATE = """
import sys
import pulumi
from components import ClusterRegistry, RegistryImage
assert not {"aiohttp", "kube_registry.push.session"} & sys.modules.keys()  # not imported by what a preview does first
import kube_registry.push.session, kube_registry.registry.preconditions
print(*sys.modules)
"""
NOT_NEEDED = {"docker", "jinja2", "kube_registry.docker_daemon.reach", "requests", "rich", "typer", "urllib3"}


def test_an_update_that_pushes_nothing_imports_only_what_it_needs() -> None:
    command = [sys.executable, "-c", UPDATE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    imported = set(done.stdout.split())
    assert {"aiohttp", "pulumi_kubernetes", "pulumi_docker"} <= imported
    assert not NOT_NEEDED & imported
