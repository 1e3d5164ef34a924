"""The real engine of Pulumi on the lab, running a copy of the program."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from kube_registry.spec.settings import Settings
from lab.parts import BUILDX
from lab.toolchain import build
from tests.conftest import CLUSTER, Lab
from tests.e2e.commands import paste

__all__ = ["CHECKOUT", "STACK", "Lab", "Program", "settings_of"]

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (
    "Pulumi.yaml",
    "__main__.py",
    "app",
    "components",
    "examples",
    "kube_registry",
    "registryctl.py",
)
STACK = CLUSTER


@dataclass(frozen=True)
class Program:
    """A copy of one Pulumi project with a stack of its own."""

    folder: Path
    stack: automation.Stack

    def up(self) -> dict[str, int]:
        """`pulumi up`; operation -> number of resources."""
        return {str(kind): count for kind, count in (self.stack.up().summary.resource_changes or {}).items()}

    def preview(self, say: Callable[[str], object] = len) -> dict[str, int]:
        """`pulumi preview`, its lines told one by one; operation -> number of resources."""
        return _counted(self.stack.preview(on_output=say))

    def preview_of_outputs(self) -> tuple[dict[str, int], dict[str, Any]]:
        """`pulumi preview`; operation -> number of resources, and the outputs that the stack would have.

        The outputs are those of the engine's events: the table lacks them where a child is refreshed before the stack
        (docs/adr/0006-refresh-always-has-a-price.md).
        """
        outputs: dict[str, Any] = {}

        def see(event: automation.EngineEvent) -> None:
            made = event.res_outputs_event
            if made and made.metadata.type == "pulumi:pulumi:Stack" and made.metadata.new:
                outputs.update(made.metadata.new.outputs or {})

        return _counted(self.stack.preview(on_event=see)), outputs

    def failing_up(self) -> str:
        """The text of a `pulumi up` that is expected to fail."""
        with pytest.raises(automation.CommandError) as failed:
            self.stack.up()
        return str(failed.value)

    def paste(self, lines: Iterable[str]) -> None:
        """Run commands that an error has printed, in the program's folder."""
        for line in lines:
            paste(line, self.folder, self.stack.workspace.env_vars)

    def configure(self, **settings: str) -> None:
        """Set config keys; an underscore stands for a dot of a path."""
        for key, value in settings.items():
            self.stack.set_config(key.replace("_", "."), automation.ConfigValue(value), path="_" in key)

    @contextmanager
    def changed(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Other settings for a while; keys are paths."""
        file = self.folder / f"Pulumi.{self.stack.name}.yaml"
        before = file.read_text()
        for key, value in settings.items():
            self.stack.set_config(key, automation.ConfigValue(value), path=True)
        try:
            yield
        finally:
            file.write_text(before)

    def run(self, *command: str, given: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
        """A command in the program's folder; `given` is its standard input."""
        surroundings = {**self.stack.workspace.env_vars, **env}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=surroundings,
            input=given,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def registryctl(self, *words: str, given: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
        """A verb, for the program's stack."""
        command = [sys.executable, "-m", "registryctl", *words, "--stack", self.stack.name]
        return self.run(*command, given=given, **env)

    def state(self) -> dict[str, Any]:
        """The stack's state as Pulumi keeps it."""
        return dict(self.stack.export_stack().deployment or {})

    def output(self, name: str) -> Any:  # noqa: ANN401 - outputs are of any type
        return self.stack.outputs()[name].value


def _counted(previewed: automation.PreviewResult) -> dict[str, int]:
    return {str(getattr(kind, "value", kind)): count for kind, count in previewed.change_summary.items()}


def settings_of(lab: Lab) -> Settings:
    """The settings that the tests' stack has, for looking at its cluster without the program."""
    config = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(lab.cluster.kubeconfig), "images": {"app": {}}}
    return Settings.parse(config, project="kube-registry", stack=STACK)


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
    made = new_program(lab, checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    yield made
    made.stack.destroy()


@pytest.fixture(scope="module")
def deployed(program: Program) -> Program:
    """The program, deployed."""
    program.up()
    return program


@pytest.fixture(scope="session")
def buildx() -> None:
    """BuildKit's own client, built where it is missing."""
    build(BUILDX)


@pytest.fixture(scope="module")
def settings(lab: Lab) -> Settings:
    """The settings that the tests' stack has."""
    return settings_of(lab)


@pytest.fixture(scope="module")
def downstream(lab: Lab, checkout: Path, program: Program) -> Iterator[Program]:
    """The workload of examples/downstream on the program's stack."""
    made = new_program(lab, checkout, checkout / "examples" / "downstream")
    made.configure(
        kubeContext=lab.cluster.kube_context, registryStack=f"organization/kube-registry/{program.stack.name}"
    )
    yield made
    made.stack.destroy()


def new_program(lab: Lab, checkout: Path, folder: Path, stack: str = STACK, **env: str) -> Program:
    """A Pulumi program with a stack of its own; its state is in the checkout's folder.

    Args:
        lab: where it runs.
        checkout: folder of the state.
        folder: folder of the program.
        stack: name of the stack.
        env: variables that are others than the lab's.
    """
    backend = checkout / "state"
    backend.mkdir(exist_ok=True)
    os.environ["PATH"] = env.get("PATH", lab.env["PATH"])  # where the Automation API looks for pulumi
    made = automation.create_or_select_stack(
        stack_name=stack,
        work_dir=str(folder),
        opts=automation.LocalWorkspaceOptions(env_vars={**lab.env, **env, "PULUMI_BACKEND_URL": f"file://{backend}"}),
    )
    return Program(folder, made)
