"""A real cluster, a real Docker engine and the real engine of Pulumi, running a copy of the program."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation
from rich.console import Console

from lab import cluster, docker_engine
from lab.places import STATE
from lab.progress import Progress
from lab.pulumi_home import environment, provide_plugins
from lab.toolchain import locked, provide, tool
from stack.settings import Settings

CHECKOUT = Path(__file__).parents[2]
PROGRAM = ("Pulumi.yaml", "__main__.py", "app", "cluster", "components", "examples", "registryctl", "stack")
CLUSTER = "e2e"
STACK = "e2e"


@dataclass(frozen=True)
class Lab:
    """The running lab, and how to look into it without the program."""

    cluster: cluster.Cluster
    env: Mapping[str, str]

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
        ask = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=5).read().decode())"
        command = ["nsenter", f"--net={self.cluster.nodes[0].netns}", sys.executable, "-c", ask, url]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


@dataclass(frozen=True)
class Program:
    """A copy of one Pulumi project with a stack of its own."""

    folder: Path
    stack: automation.Stack

    def up(self) -> dict[str, int]:
        """`pulumi up`; operation -> number of resources."""
        return {str(kind): count for kind, count in (self.stack.up().summary.resource_changes or {}).items()}

    def preview(self) -> dict[str, int]:
        """`pulumi preview`; operation -> number of resources."""
        return {str(getattr(kind, "value", kind)): count for kind, count in self.stack.preview().change_summary.items()}

    def failing_up(self) -> str:
        """The text of a `pulumi up` that is expected to fail."""
        with pytest.raises(automation.CommandError) as failed:
            self.stack.up()
        return str(failed.value)

    def configure(self, **settings: str) -> None:
        """Set config keys; an underscore stands for a dot of a path."""
        for key, value in settings.items():
            self.stack.set_config(key.replace("_", "."), automation.ConfigValue(value), path="_" in key)

    @contextmanager
    def changed(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Other settings for a while; keys are paths."""
        file = self.folder / f"Pulumi.{STACK}.yaml"
        before = file.read_text()
        for key, value in settings.items():
            self.stack.set_config(key, automation.ConfigValue(value), path=True)
        try:
            yield
        finally:
            file.write_text(before)

    def state(self) -> dict[str, Any]:
        """The stack's state as Pulumi keeps it."""
        return dict(self.stack.export_stack().deployment or {})

    def output(self, name: str) -> Any:  # noqa: ANN401 - outputs are of any type
        return self.stack.outputs()[name].value


def settings_of(lab: Lab) -> Settings:
    """The settings that the tests' stack has, for looking at its cluster without the program."""
    config = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(lab.cluster.kubeconfig), "images": {"app": {}}}
    return Settings.parse(config, project="kube-registry", stack=STACK)


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """Tools, Docker engine and a cluster with two nodes; a cold machine is told what takes so long."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress(Console(stderr=True))
        provide(progress)
        provide_plugins(progress)
        engine = docker_engine.up(progress)
    with locked(STATE / "locks" / f"tests-of-{CLUSTER}"):  # another test run has the same cluster
        with capture.global_and_fixture_disabled():
            running = cluster.up(CLUSTER, nodes=2, report=progress)
        yield Lab(running, environment(kubeconfig=running.kubeconfig, docker_host=engine.host))
        cluster.down(CLUSTER)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program that a test may edit."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PROGRAM:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path) -> Iterator[Program]:
    """The program itself; what a test left of its stack is destroyed at the end."""
    made = _program(lab, checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    yield made
    made.stack.destroy()


@pytest.fixture(scope="module")
def downstream(lab: Lab, checkout: Path, program: Program) -> Iterator[Program]:
    """The workload of examples/downstream on the program's stack."""
    made = _program(lab, checkout, checkout / "examples" / "downstream")
    made.configure(
        kubeContext=lab.cluster.kube_context, registryStack=f"organization/kube-registry/{program.stack.name}"
    )
    yield made
    made.stack.destroy()


def _program(lab: Lab, checkout: Path, folder: Path) -> Program:
    backend = checkout / "state"
    backend.mkdir(exist_ok=True)
    os.environ["PATH"] = lab.env["PATH"]  # where the Automation API looks for pulumi
    stack = automation.create_or_select_stack(
        stack_name=STACK,
        work_dir=str(folder),
        opts=automation.LocalWorkspaceOptions(env_vars={**lab.env, "PULUMI_BACKEND_URL": f"file://{backend}"}),
    )
    return Program(folder, stack)
