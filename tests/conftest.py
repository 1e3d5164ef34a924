"""The lab: a real cluster and a real Docker engine, started by the first test that asks for them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
from rich.console import Console
from xdist.scheduler import LoadScopeScheduling

from kube_registry.registry.api import ANY_MANIFEST
from lab import cluster, docker_engine
from lab.places import STATE
from lab.progress import Progress
from lab.pulumi_home import environment, provide_plugins
from lab.toolchain import locked, provide, tool
from tests.fakes.fixtures import anyio_backend, api, authority, kube, no_patience, no_pauses, target, tls_api, tunnel
from tests.warm import Warm, warm_programs

__all__ = [
    "anyio_backend",
    "api",
    "authority",
    "kube",
    "no_patience",
    "no_pauses",
    "target",
    "tls_api",
    "tunnel",
]

CLUSTER = "-".join(
    [os.environ.get("KUBE_REGISTRY_TESTS", "e2e"), *filter(None, [os.environ.get("PYTEST_XDIST_WORKER")])]
)
"""The cluster of this process, and its stack in it: tests run in several processes side by side."""

ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Accept": sys.argv[2]})
print(end=urllib.request.urlopen(request, timeout=5).read().decode())
"""
"""Prints what a URL answers."""

LONG = re.compile(
    r"/(journey|library|lab|s3)/|test_(fleet|gc|lease|preflight|rights|sweep|volume|warm|fork_server_life)\.py"
)
"""Paths of files that take long. They begin first, so that none of them runs alone at the end."""


def pytest_configure() -> None:
    """Undo that a shell ignores SIGINT in its background: the programs under test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort files that take long to the front."""
    items.sort(key=lambda item: not LONG.search(str(item.path)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:  # noqa: ANN401 - untyped
    """Run the tests of a file in one process. Files that share a rare cluster are run by the same one, too."""

    @lru_cache
    def group_of(file: str) -> str:
        text = (config.rootpath / file).read_text()
        if "other_lab: Lab" in text:
            return "a second cluster"
        return "a cluster for unit tests" if "lab: Lab" in text and not file.startswith("tests/e2e/") else file

    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda test: group_of(test.partition("::")[0])
    return scheduler


@dataclass(frozen=True)
class Lab:
    """The running lab, how to look into it without the program, and the fork servers of the programs that run in it."""

    cluster: cluster.Cluster
    env: Mapping[str, str]
    warm: Warm

    def kubectl(self, *words: str, given: str | None = None) -> str:
        """What kubectl prints; `given` is its standard input."""
        command = [str(tool("kubectl")), "--kubeconfig", str(self.cluster.kubeconfig), *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=30).stdout

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Objects of the cluster, as kubectl lists them."""
        listed = self.kubectl("get", *what, "--output", "json", "--ignore-not-found")
        items: list[dict[str, Any]] = json.loads(listed or '{"items": []}')["items"]
        return items

    def fetch(self, url: str) -> str:
        """What a URL answers on the first node, where the addresses of pods and services are known."""
        command = ["nsenter", f"--net={self.cluster.nodes[0].netns}", sys.executable, "-c", ASK, url, ANY_MANIFEST]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


@contextmanager
def lab_with(pytestconfig: pytest.Config, name: str, *proxy_modes: str) -> Iterator[Lab]:
    """Tools, Docker engine and a cluster with two nodes; a cold machine is told what takes so long."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress(Console(stderr=True))
        provide(progress)
        provide_plugins(progress)
        engine = docker_engine.up(progress)
    with locked(STATE / "locks" / f"tests-of-{name}"):  # another test run has the same cluster
        cluster.down(name)  # what a run left that was killed: its objects would change the results of this one
        with capture.global_and_fixture_disabled():
            running = cluster.up(name, nodes=2, proxy_modes=proxy_modes, report=progress)
        with warm_programs() as warm:
            yield Lab(running, environment(kubeconfig=running.kubeconfig, docker_host=engine.host), warm)
        cluster.down(name)


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The lab that most tests share."""
    with lab_with(pytestconfig, CLUSTER, "iptables") as running:
        yield running
