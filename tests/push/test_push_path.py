"""What a push path does before it is asked for anything; tests/e2e tries the rest on real clusters."""

import subprocess
import sys
from pathlib import Path

MADE = """
import asyncio, sys
from kube_registry.push.push_path import PushPath
from kube_registry.spec.settings import RegistrySettings

settings = RegistrySettings.parse({"kubeContext": "c", "kubeconfig": "/nowhere/config"}, project="p", stack="s")
path = PushPath(settings, {"DOCKER_HOST": "tcp://nowhere:1"}, {"credsStore": "none"})
print(sorted({"kubernetes_asyncio", "aiohttp", "docker", "pulumi"} & sys.modules.keys()))
try:
    asyncio.run(path.ready(lambda *_: None))
except Exception as error:
    print(type(error).__name__)
"""


def test_it_is_made_without_a_kubeconfig_and_without_what_talks_to_a_cluster() -> None:
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MADE], cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "KubeconfigError"]
