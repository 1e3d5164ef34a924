"""The real engine of Pulumi on the lab, running a copy of the program."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi import automation
from rich.console import Console

from kube_registry.spec.settings import Settings
from lab.debian_image import provide_debian
from lab.docker_site import Engine
from lab.parts import BUILDX
from lab.progress import Progress
from lab.toolchain import build
from tests.conftest import CLUSTER, Lab, lab_with
from tests.e2e.commands import paste
from tests.warm import Warm

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
class Run:
    """A command of Pulumi that has succeeded: what it printed, and the engine's events."""

    text: str
    events: list[dict[str, Any]]

    @property
    def changes(self) -> dict[str, int]:
        """Operation -> number of resources."""
        summaries = [event["summaryEvent"] for event in self.events if "summaryEvent" in event]
        return dict(summaries[-1]["resourceChanges"]) if summaries else {}


@dataclass(frozen=True)
class Program:
    """A copy of one Pulumi project with a stack of its own; without `warm`, its runs are cold."""

    folder: Path
    stack: automation.Stack
    warm: Warm | None

    def up(self, say: Callable[[str], object] = len) -> dict[str, int]:
        """`pulumi up`, its lines passed on one by one; operation -> number of resources."""
        return self.update(say).changes

    def update(self, say: Callable[[str], object] = len) -> Run:
        """`pulumi up`."""
        return self._command("up", "--yes", "--skip-preview", say=say)

    def preview(self, say: Callable[[str], object] = len) -> dict[str, int]:
        """`pulumi preview`, its lines passed on one by one; operation -> number of resources."""
        return self._command("preview", say=say).changes

    def refresh(self) -> dict[str, int]:
        """`pulumi refresh`; operation -> number of resources."""
        return self._command("refresh", "--yes", "--skip-preview").changes

    def destroy(self) -> None:
        """`pulumi destroy`."""
        self._command("destroy", "--yes", "--skip-preview")

    def preview_of_outputs(self) -> tuple[dict[str, int], dict[str, Any]]:
        """`pulumi preview`; operation -> number of resources, and the outputs that the stack would have.

        The outputs are those of the engine's events: the table lacks them where a child is refreshed before the stack
        (docs/adr/0006-refresh-always-has-a-price.md).
        """
        run, outputs = self._command("preview"), dict[str, Any]()
        for event in run.events:
            metadata = event.get("resOutputsEvent", {}).get("metadata", {})
            if metadata.get("type") == "pulumi:pulumi:Stack" and metadata.get("new"):
                outputs.update(metadata["new"].get("outputs") or {})
        return run.changes, outputs

    def failing_up(self) -> str:
        """The text of a `pulumi up` that is expected to fail."""
        with pytest.raises(automation.CommandError) as failed:
            self.up()
        return str(failed.value)

    def _command(self, verb: str, *options: str, say: Callable[[str], object] = len) -> Run:
        """A command that succeeds, run as the Automation API does, but for the three that this runs after it."""
        workspace = self.stack.workspace
        variables = {**workspace.env_vars, "PULUMI_DEBUG_COMMANDS": "true"}  # knows --event-log
        env = {**os.environ, **variables}
        with (
            tempfile.NamedTemporaryFile() as log,
            # A refresh and a destroy do not run the program, but Pulumi's own language host runs pip for them.
            self.warm.serving(self.folder, env) if self.warm else nullcontext(()) as client,
        ):
            command = [verb, *options, "--stack", self.stack.name, "--event-log", log.name, *client]
            text = workspace.pulumi_command.run(command, str(self.folder), variables, say).stdout
            return Run(text, [json.loads(line) for line in Path(log.name).read_text().splitlines()])

    def paste(self, lines: Iterable[str]) -> None:
        """Run commands that an error has printed, in the program's folder."""
        for line in lines:
            paste(line, self.folder, self.stack.workspace.env_vars)

    def configure(self, **settings: str) -> None:
        """Set config keys; an underscore stands for a dot of a path."""
        for path in (False, True):
            chosen = {key: automation.ConfigValue(value) for key, value in settings.items() if ("_" in key) == path}
            if chosen:
                values = {key.replace("_", "."): value for key, value in chosen.items()}
                self.stack.set_all_config(values, path=path)

    @contextmanager
    def changed(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Other settings for a while; keys are paths."""
        file = self.folder / f"Pulumi.{self.stack.name}.yaml"
        before = file.read_text()
        self.stack.set_all_config({key: automation.ConfigValue(value) for key, value in settings.items()}, path=True)
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
        """A verb, for the program's stack; warm if the program has a copy of registryctl."""
        words = (*words, "--stack", self.stack.name)
        if self.warm and (self.folder / "registryctl.py").exists():
            surroundings = {**self.stack.workspace.env_vars, **env}
            return self.warm.commands.run(self.folder, words, surroundings, given)
        return self.run(sys.executable, "-m", "registryctl", *words, given=given, **env)

    def state(self) -> dict[str, Any]:
        """The stack's state as Pulumi keeps it."""
        return dict(self.stack.export_stack().deployment or {})

    def output(self, name: str) -> Any:  # noqa: ANN401 - outputs are of any type
        """One of the stack's outputs."""
        command = ["stack", "output", "--json", "--show-secrets", "--stack", self.stack.name]
        workspace = self.stack.workspace
        return json.loads(workspace.pulumi_command.run(command, str(self.folder), workspace.env_vars).stdout)[name]


def settings_of(lab: Lab) -> Settings:
    """The settings that the tests' stack has, for looking at its cluster without the program."""
    config = {"kubeContext": lab.cluster.kube_context, "kubeconfig": str(lab.cluster.kubeconfig), "images": {"app": {}}}
    return Settings.parse(config, project="kube-registry", stack=STACK)


@pytest.fixture(scope="session")
def other_lab(pytestconfig: pytest.Config, lab: Lab) -> Iterator[Lab]:  # noqa: ARG001 - this one starts after it
    """A second cluster."""
    with lab_with(pytestconfig, f"{CLUSTER}-other", "iptables") as running:
        yield running


@pytest.fixture(scope="session")
def one_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `checkout`: the same for all modules, so that one fork server runs the program for all of them."""
    return tmp_path_factory.mktemp("checkout")


@pytest.fixture(scope="module")
def checkout(one_checkout: Path) -> Path:
    """A copy of the program that a test may edit; what other modules edited and added is undone."""
    sources = [CHECKOUT / name for name in PROGRAM]
    sources += [path for source in sources for path in source.rglob("*") if "__pycache__" not in path.parts]
    wanted = {one_checkout / source.relative_to(CHECKOUT): source for source in sources}
    for path in sorted(one_checkout.rglob("*"), reverse=True):
        compiled = path.name == "__pycache__" or path.parent.name == "__pycache__"
        if path not in wanted and not (compiled and path.parent.is_dir()):
            path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
    for path, source in wanted.items():
        if source.is_dir():
            path.mkdir(exist_ok=True)
        elif not path.exists() or stamp(path) != stamp(source):
            shutil.copy2(source, path)
    return one_checkout


def stamp(file: Path) -> tuple[int, int, int]:
    """What changes with an edit: time, size and mode."""
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_mode


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path) -> Iterator[Program]:
    """The program itself; what a test left of its stack is destroyed at the end."""
    made = new_program(lab, checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def deployed(program: Program) -> Program:
    """The program, deployed."""
    program.up()
    return program


@pytest.fixture(scope="session")
def buildx() -> None:
    """BuildKit's own client, built where it is missing."""
    build(BUILDX)


@pytest.fixture(scope="session")
def debian(pytestconfig: pytest.Config, lab: Lab) -> None:
    """The base image of the NFS server, in the Docker engine; built where it is missing."""
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        provide_debian(Engine(lab.env["DOCKER_HOST"]), Progress(Console(stderr=True)))


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
    made.destroy()


def new_program(lab: Lab, checkout: Path, folder: Path, stack: str = STACK, **env: str) -> Program:
    """A Pulumi program with a stack of its own; its state is in the checkout's folder.

    Args:
        lab: where it runs.
        checkout: folder of the state.
        folder: folder of the program.
        stack: name of the stack.
        env: variables that are others than the lab's.
    """
    variables = {**lab.env, **env, "PULUMI_BACKEND_URL": f"file://{checkout / 'state'}"}
    (checkout / "state").mkdir(exist_ok=True)
    os.environ["PATH"] = variables["PATH"]  # where the Automation API looks for pulumi
    made = automation.create_or_select_stack(
        stack_name=stack, work_dir=str(folder), opts=automation.LocalWorkspaceOptions(env_vars=variables)
    )
    virtualenv = virtualenv_of(folder)
    if virtualenv and not os.path.lexists(virtualenv):
        virtualenv.symlink_to(Path(shutil.which("python", path=variables["PATH"]) or sys.executable).parents[1])
    return Program(folder, made, lab.warm if virtualenv else None)


def virtualenv_of(folder: Path) -> Path | None:
    """The virtualenv that a program names; None if it is not written in Python."""
    runtime = yaml.safe_load((folder / "Pulumi.yaml").read_text())["runtime"]
    return folder / runtime["options"]["virtualenv"] if isinstance(runtime, dict) else None
