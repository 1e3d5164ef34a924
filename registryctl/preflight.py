"""`registryctl preflight`: every node asked by hand, whatever it has proven before."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.door import open_write_door
from cluster.kube import KubeClient
from cluster.nodes import proxy_mode
from cluster.preflight import examine_nodes
from cluster.probe import PULLED, Verdict
from cluster.window import Verdicts
from registryctl.interrupts import until_told
from registryctl.stacks import stack_settings
from stack.errors import on_stack


def preflight(
    stack: Annotated[str | None, typer.Option(help="Stack of the registry; the selected one if not set.")] = None,
) -> None:
    """Have every node prove that it can pull; exit status 1 if one cannot."""
    if stack == "":
        raise typer.BadParameter("--stack takes a name.")
    raise typer.Exit(asyncio.run(_preflight(stack)))


async def _preflight(stack: str | None) -> int:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    failing: list[Verdict] | None = None
    async with until_told():
        settings = await stack_settings(Path.cwd(), stack, {})
        async with open_write_door(settings, "registryctl preflight", console.print) as (kube, tunnel):
            verdicts = await examine_nodes(kube, settings, tunnel.address, afresh=True)
            console.print(await _table(kube, verdicts))
        failing = [verdict for verdict in verdicts.values() if verdict is not PULLED and not verdict.later]
        pulling = f"{sum(verdict is PULLED for verdict in verdicts.values())} of {len(verdicts)} nodes"
        console.print(f"{pulling} can pull from {settings.endpoints.pull_host} in {kube.where}")
        for mend in sorted({verdict.mend for verdict in failing}):
            console.print(f"what mends it is {on_stack(mend, settings.stack)}")
    return int(failing != [])


async def _table(kube: KubeClient, verdicts: Verdicts) -> Table:
    modes = await asyncio.gather(*(proxy_mode(kube, node) for node in verdicts))
    table = Table("node", "runtime", "kube-proxy", "verdict", box=None, pad_edge=False)
    for (node, verdict), mode in sorted(zip(verdicts.items(), modes, strict=True), key=lambda row: row[0][0].name):
        table.add_row(node.name, node.runtime, mode, verdict.words)
    return table
