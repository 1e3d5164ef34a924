"""The lab's command line: clusters up, down and listed, and a shell in which their tools work."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab import cluster, health, own_cluster, shell
from lab import spec as specs
from lab.errors import LabError
from lab.parts import KUBERNETES, REGISTRY
from lab.progress import Progress
from lab.pulumi_home import provide_plugins
from lab.toolchain import provide

app = typer.Typer(
    help="Real Kubernetes clusters on this computer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

KubeContext = Annotated[
    str, typer.Option(envvar="KUBE_CONTEXT", help="A cluster of yours instead of the lab's, with the demo on it.")
]
Name = Annotated[str, typer.Argument(help="The cluster's name.")]


@app.command()
def tools() -> None:
    """Install and build what is missing, and start nothing."""
    report = Progress()
    provide(report)
    provide_plugins(report)


@app.command()
def up(
    name: Name = "dev",
    nodes: Annotated[int, typer.Option(help="How many nodes.")] = 2,
    proxy_mode: Annotated[
        str, typer.Option(help="iptables or nftables: one for all nodes, or one for each, with commas.")
    ] = "iptables",
) -> None:
    """Bring a cluster up, or back; leaves one that is well alone."""
    report = Progress()
    provide(report, (KUBERNETES, REGISTRY))
    found = cluster.up(name, nodes=nodes, proxy_modes=proxy_mode.split(","), report=report)
    report.say(
        f"cluster {name}: {len(found.nodes)} nodes Ready; kube context {found.kube_context} in {found.kubeconfig}"
    )


@app.command()
def down(
    name: Annotated[str, typer.Argument(help="The cluster's name.")] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every cluster.")] = False,
) -> None:
    """End a cluster and remove all that it has."""
    if bool(name) == everything:
        raise LabError("Say which cluster is to go down, or --all.")
    report = Progress()
    for each in specs.names() if everything else [name]:
        with report.running(f"cluster {each}", "ending"):
            cluster.down(each)


@app.command()
def status() -> None:
    """Show the clusters."""
    table = Table("cluster", "nodes", "ready", "kube-proxy", "kube context", "kubeconfig", "state", box=None)
    for name in specs.names():
        spec = specs.saved(name)
        if not spec:
            table.add_row(name, "", "", "", "", "", "left by another version of the lab")
            continue
        modes = ", ".join(dict.fromkeys(spec.proxy_modes))
        ready = f"{health.count_ready(spec)}/{len(spec.nodes)}"
        state = health.trouble(spec) or "well"
        table.add_row(name, str(len(spec.nodes)), ready, modes, spec.kube_context, str(spec.kubeconfig), state)
    Console(width=200).print(table)


@app.command()
def kubeconfig(name: Name = "dev") -> None:
    """Print the path of a cluster's kubeconfig."""
    print(cluster.known(name).kubeconfig)


@app.command("env")
def print_exports(name: Name = "dev", kube_context: KubeContext = "") -> None:
    """Print the lines of a shell after which pulumi, kubectl, docker and registryctl work on a cluster."""
    print("\n".join(shell.exports(_variables(name, kube_context))))


@app.command("shell")
def open_shell(name: Name = "dev", kube_context: KubeContext = "") -> None:
    """Open a shell of yours in which pulumi, kubectl, docker and registryctl work on a cluster."""
    chosen = _variables(name, kube_context)
    label = own_cluster.stack_name(kube_context) if kube_context else name
    tools = "pulumi and registryctl" if kube_context else "pulumi, kubectl, docker and registryctl"
    print(f"{tools} work on {label} in this shell; `exit` leaves it.")
    shell.open_shell(chosen, label)


def _variables(name: str, kube_context: str) -> dict[str, str]:
    if kube_context:
        return own_cluster.variables(kube_context, Progress())
    return shell.lab_variables(name, Progress())
