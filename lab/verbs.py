"""The lab's command line: create, remove and list clusters, and open a shell for them."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab import cluster, health, own_cluster, shell
from lab import spec as specs
from lab.errors import LabError
from lab.parts import of_cluster
from lab.progress import Progress
from lab.pulumi_home import provide_plugins
from lab.toolchain import provide
from lab.versions import NEWEST, OLDEST, chosen, describe

app = typer.Typer(
    help="Real Kubernetes clusters on this computer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

KubeContext = Annotated[
    str,
    typer.Option(
        envvar="KUBE_CONTEXT", help="Kube context of a cluster of your own with the demo, instead of the lab."
    ),
]
Name = Annotated[str, typer.Argument(help="Name of the cluster.")]


def _choice(newest: str, oldest: str) -> str:
    return f"{newest} or {oldest}; a prefix such as {newest.rpartition('.')[0]} suffices."


@app.command()
def tools() -> None:
    """Install and build missing tools, without starting anything."""
    report = Progress()
    provide(report)
    provide_plugins(report)


@app.command()
def up(
    name: Name = "dev",
    *,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")] = 2,
    proxy_mode: Annotated[
        str, typer.Option(help="iptables or nftables: one for all nodes, or a comma-separated list with one for each.")
    ] = "iptables",
    kubernetes: Annotated[str, typer.Option(help=_choice(NEWEST.kubernetes, OLDEST.kubernetes))] = "",
    containerd: Annotated[str, typer.Option(help=_choice(NEWEST.containerd, OLDEST.containerd))] = "",
    docker: Annotated[
        str, typer.Option(help=f"Version of the engine that the shell uses. {_choice(NEWEST.docker, OLDEST.docker)}")
    ] = "",
) -> None:
    """Create a cluster, or repair it. A healthy cluster is left alone."""
    report = Progress()
    versions = chosen(kubernetes=kubernetes, containerd=containerd, docker=docker)
    provide(report, of_cluster(versions))
    found = cluster.up(name, nodes=nodes, proxy_modes=proxy_mode.split(","), versions=versions, report=report)
    report.say(
        f"cluster {name}: {len(found.nodes)} nodes Ready; kube context {found.kube_context} in {found.kubeconfig}"
    )


@app.command()
def down(
    name: Annotated[str, typer.Argument(help="Name of the cluster.")] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Remove all clusters.")] = False,
) -> None:
    """Stop a cluster and remove all its data."""
    if bool(name) == everything:
        raise LabError("No cluster to remove. Fix: give the name of a cluster, or --all")
    report = Progress()
    for each in specs.names() if everything else [name]:
        with report.running(f"cluster {each}", "stopping"):
            cluster.down(each)


@app.command()
def status() -> None:
    """List the clusters and their state."""
    columns = ("cluster", "nodes", "ready", "versions", "kube-proxy", "kube context", "kubeconfig", "state")
    table = Table(*columns, box=None)
    for name in specs.names():
        spec = specs.saved(name)
        if not spec:
            table.add_row(name, *[""] * 6, "created by another version of the lab")
            continue
        modes = ", ".join(dict.fromkeys(spec.proxy_modes))
        ready = f"{health.count_ready(spec)}/{len(spec.nodes)}"
        state = health.trouble(spec) or "healthy"
        row = (describe(spec.versions), modes, spec.kube_context, str(spec.kubeconfig), state)
        table.add_row(name, str(len(spec.nodes)), ready, *row)
    Console(width=200).print(table)


@app.command()
def kubeconfig(name: Name = "dev") -> None:
    """Print the path of a cluster's kubeconfig."""
    print(cluster.known(name).kubeconfig)


@app.command("env")
def print_exports(name: Name = "dev", kube_context: KubeContext = "") -> None:
    """Print shell commands after which pulumi, kubectl, docker and registryctl use a cluster."""
    print("\n".join(shell.exports(_variables(name, kube_context))))


@app.command("shell")
def open_shell(name: Name = "dev", kube_context: KubeContext = "") -> None:
    """Open your shell, in which pulumi, kubectl, docker and registryctl use a cluster."""
    chosen = _variables(name, kube_context)
    label = own_cluster.stack_name(kube_context) if kube_context else name
    tools = "pulumi and registryctl" if kube_context else "pulumi, kubectl, docker and registryctl"
    print(f"{tools} work on {label} in this shell; `exit` leaves it.")
    shell.open_shell(chosen, label)


def _variables(name: str, kube_context: str) -> dict[str, str]:
    if kube_context:
        return own_cluster.variables(kube_context, Progress())
    return shell.lab_variables(name, Progress())
