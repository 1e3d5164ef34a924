"""Deploy and remove the demo, a workload that runs a freshly built image, on the lab or on an existing cluster.

`make` runs `python -m lab.demo up|preview|down`. `KUBE_CONTEXT=NAME` in the environment selects an existing cluster.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from lab import cluster, docker_engine, far_engine, own_cluster
from lab import spec as specs
from lab.cluster import Cluster
from lab.docker_site import SITES
from lab.errors import run
from lab.progress import Progress
from lab.pulumi_home import BACKEND, environment, provide_plugins
from lab.shell import lab_variables
from lab.stacks import LAB_STACK, downstream_stack, registry_stack
from lab.summary import show
from lab.toolchain import provide, tool

CLUSTER = "dev"
"""Pulumi.dev.yaml contains its kube context."""

commands = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

KubeContext = Annotated[
    str, typer.Option(envvar="KUBE_CONTEXT", help="Kube context of an existing cluster to use instead of the lab.")
]


@commands.command()
def up(kube_context: KubeContext = "") -> None:
    """Start the cluster and the Docker engine, building missing tools, then deploy the stack and its downstream."""
    if kube_context:
        own_cluster.up(kube_context)
        return
    progress = Progress()
    with progress.phase("tools"):
        provide(progress)
        provide_plugins(progress)
    with progress.phase("Docker engine"):
        engine = docker_engine.up(progress)
    with progress.phase("cluster"):
        running = cluster.up(CLUSTER, nodes=2, report=progress)
    env = environment(kubeconfig=running.kubeconfig, docker_host=engine.host)
    registry, downstream = registry_stack(LAB_STACK, env), downstream_stack(LAB_STACK, env)
    for title, stack in (("pulumi up", registry), ("pulumi up, downstream", downstream)):
        with progress.phase(title):
            stack.init()
            stack.run("up", "--yes", "--skip-preview")
    nodes, pods = _items(running, "nodes"), _items(running, "pods", "--all-namespaces")
    show(nodes, pods, downstream.outputs()["image"], progress.phases)
    print("`make shell` opens a shell in which pulumi, kubectl, docker and registryctl work on this cluster;")
    print('`eval "$(python3 -m lab env)"` does the same in the current shell.')


@commands.command()
def preview(kube_context: KubeContext = "") -> None:
    """Show what `up` would change, without building or pushing."""
    if kube_context:
        own_cluster.preview(kube_context)
        return
    env = _running_environment()
    for stack in (registry_stack(LAB_STACK, env), downstream_stack(LAB_STACK, env)):
        stack.run("preview")


@commands.command()
def down(kube_context: KubeContext = "") -> None:
    """Destroy both stacks, then stop all clusters and Docker engines of the lab, and remove Pulumi's state."""
    if kube_context:
        own_cluster.down(kube_context)
        return
    progress = Progress()
    if any(running.name == CLUSTER for running in cluster.clusters()):
        env = _running_environment()
        for stack in (downstream_stack(LAB_STACK, env), registry_stack(LAB_STACK, env)):
            stack.init()
            stack.run("destroy", "--yes", "--skip-preview")
    for name in specs.names():
        with progress.running(f"cluster {name}", "stopping"):
            cluster.down(name)
    shutil.rmtree(BACKEND / ".pulumi", ignore_errors=True)  # the next `make up` creates another cluster
    for site in (far_engine.far_site(), *SITES.values()):
        docker_engine.down(progress, site)


def _running_environment() -> Mapping[str, str]:
    """Return the environment for the running lab.

    Raises:
        LabError: the lab does not run.
    """
    return {**os.environ, **lab_variables(CLUSTER, Progress())}


def _items(running: Cluster, *what: str) -> list[dict[str, Any]]:
    command = [str(tool("kubectl")), "--kubeconfig", str(running.kubeconfig), "get", *what, "--output", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    items: list[dict[str, Any]] = json.loads(listed.stdout)["items"]
    return items


if __name__ == "__main__":
    run(commands)
