"""`registryctl preflight`: every node proves again that it can pull."""

from rich.table import Table

from kube_registry.cli.session import RegistryName, StackName, console, exit_by_result, table
from kube_registry.cli.stack_registry import find_registry
from kube_registry.errors import on_stack
from kube_registry.kube.client import KubeClient
from kube_registry.kube.proxy_mode import proxy_modes
from kube_registry.preflight.node_window import Verdicts
from kube_registry.preflight.preflight import examine_nodes
from kube_registry.preflight.probe_pod import PULLED
from kube_registry.registry.door import open_write_door


@exit_by_result
async def preflight(stack: StackName = None, registry: RegistryName = None) -> bool:
    """Check that every node can pull from the registry; exit status 1 if one cannot."""
    out, settings = console(), (await find_registry(stack, registry)).settings
    async with open_write_door(settings, "registryctl preflight", out.print) as (kube, tunnel):
        verdicts = await examine_nodes(kube, settings, tunnel.address, afresh=True)
        out.print(await _table(kube, verdicts))
    failing = [verdict for verdict in verdicts.values() if verdict is not PULLED and not verdict.later]
    pulling = f"{sum(verdict is PULLED for verdict in verdicts.values())} of {len(verdicts)} nodes"
    out.print(f"{pulling} can pull from {settings.endpoints.pull_host} in {kube.where}")
    for fix in sorted({verdict.fix for verdict in failing}):
        out.print(f"Fix: {on_stack(fix, settings.stack, settings.component)}")
    return not failing


async def _table(kube: KubeClient, verdicts: Verdicts) -> Table:
    modes = await proxy_modes(kube, verdicts)
    shown = table("node", "runtime", "kube-proxy", "verdict")
    for node, verdict in sorted(verdicts.items(), key=lambda row: row[0].name):
        shown.add_row(node.name, node.runtime, str(modes[node]), verdict.words)
    return shown
