"""The demo: from a bare machine to a workload that runs a fresh image, and back to a bare machine.

`python -m lab.demo up|preview|down`, which is what `make` calls, and `environment` for commands of one's own.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping

import typer

from lab import cluster, docker_engine, far_engine
from lab import spec as specs
from lab.errors import LabError
from lab.progress import Progress
from lab.pulumi_home import BACKEND, environment, provide_plugins
from lab.stacks import downstream_stack, registry_stack
from lab.summary import show
from lab.toolchain import provide

CLUSTER = "dev"
"""Pulumi.dev.yaml names its kube context."""

commands = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@commands.command()
def up() -> None:
    """Provide tools, cluster and Docker engine, then deploy the stack and its downstream."""
    progress = Progress()
    with progress.phase("tools"):
        provide(progress)
        provide_plugins(progress)
    with progress.phase("Docker engine"):
        engine = docker_engine.up(progress)
    with progress.phase("cluster"):
        running = cluster.up(CLUSTER, nodes=2, report=progress)
    env = environment(kubeconfig=running.kubeconfig, docker_host=engine.host)
    for title, stack in (("pulumi up", registry_stack(env)), ("pulumi up, downstream", downstream_stack(env))):
        with progress.phase(title):
            stack.init()
            stack.run("up", "--yes", "--skip-preview")
    show(running, registry_stack(env).outputs()["image"], progress.phases)


@commands.command()
def preview() -> None:
    """Show what `up` would change; nothing is built, pushed or written."""
    env = _running_environment()
    registry_stack(env).run("preview")
    downstream_stack(env).run("preview")


@commands.command("environment")
def show_environment() -> None:
    """Print the lines of a shell after which `pulumi`, `kubectl` and registryctl work on the running lab."""
    for name, value in _running_environment().items():
        if os.environ.get(name) != value:
            print(f"export {name}={shlex.quote(value)}")


@commands.command()
def down() -> None:
    """Destroy both stacks, then end every cluster and the Docker engine of the lab, and remove Pulumi's state."""
    progress = Progress()
    if any(running.name == CLUSTER for running in cluster.clusters()):
        env = _running_environment()
        for stack in (downstream_stack(env), registry_stack(env)):
            stack.init()
            stack.run("destroy", "--yes", "--skip-preview")
    for name in specs.names():
        with progress.running(f"cluster {name}", "ending"):
            cluster.down(name)
    shutil.rmtree(BACKEND / ".pulumi", ignore_errors=True)  # the next `make up` has another cluster
    for engine in (far_engine, docker_engine):
        engine.down(progress)


def _running_environment() -> Mapping[str, str]:
    """The environment of the lab as it runs.

    Raises:
        LabError: it does not run.
    """
    progress = Progress()
    for running in cluster.clusters():
        if running.name == CLUSTER:
            engine = docker_engine.up(progress)
            return environment(kubeconfig=running.kubeconfig, docker_host=engine.host)
    raise LabError(f"There is no lab cluster {CLUSTER!r}; `make up` starts it.")


def run(app: Callable[[], None]) -> None:
    """Run a command line; an error of the lab is one sentence and exit status 1."""
    try:
        app()
    except LabError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(commands)
