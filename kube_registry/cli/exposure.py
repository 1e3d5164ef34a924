"""`registryctl exposure`: find out which exposure a cluster needs, and write it into the stack's config."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from kube_registry.cli.session import RegistryName, StackName, console, exit_by_result, table
from kube_registry.cli.stack_registry import StackRegistry, find_registry
from kube_registry.cli.stacks import in_words, pulumi_program
from kube_registry.errors import on_stack
from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.fleet_file import FILE, read_fleet
from kube_registry.kube.client import open_client
from kube_registry.names import short_name
from kube_registry.preflight.exposure import examine_exposure, needed_exposure

_OLD_KEY = "nodeProxy"
"""The setting's old name, which must not be set together with the new one."""


@exit_by_result
async def exposure(
    stack: StackName = None,
    registry: RegistryName = None,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Write the exposure that the cluster needs into the stack's config.")
    ] = False,
) -> bool:
    """Find out which exposure a cluster needs; exit status 1 if the stack has to change, or it is not known."""
    out, found = console(), await find_registry(stack, registry)
    settings = found.settings
    async with open_client(settings) as kube:
        nodes = await examine_exposure(kube, settings)
        where = kube.where
    shown = table("node", "kube-proxy", "node ports on loopback")
    for each in nodes:
        shown.add_row(each.node.name, str(each.mode), each.words)
    out.print(shown)
    if not any(each.tested for each in nodes):
        out.print(f"no registry runs in {where}, so no node was tested; the first update tests all before it builds")
    needed = needed_exposure(nodes)
    if needed is None:
        out.print(f"the exposure that the cluster needs is not known, the stack has {settings.exposure}")
        return False
    serving = sum(each.serves is True for each in nodes)
    out.print(f"nodes that serve node ports on loopback: {serving} of {len(nodes)}")
    out.print(f"the cluster needs exposure {needed}, the stack has {settings.exposure}")
    if needed == settings.exposure:
        return True
    if write and found.deployed is None:
        out.print(await _write(found, needed))
        return True
    if settings.has_node_proxy:
        out.print("exposure nodeProxy works with every kube-proxy, so the stack need not change")
        return True
    out.print(f"Fix: {on_stack(f'`pulumi config set exposure {needed}`', settings.stack, settings.component)}")
    return False


async def _write(found: StackRegistry, exposure: str) -> str:
    """Write the exposure into the stack's config; return what was done, and how to apply it.

    Raises:
        StackError: Pulumi cannot write it.
        FleetError: the settings of the stack come from fleet.yaml.
    """
    folder, config = Path.cwd(), f"Pulumi.{short_name(found.stack)}.yaml"
    file = folder / FILE
    if file.exists() and found.stack in {member.name for member in read_fleet(folder).members}:
        problem = f"a rollout sets all settings of this stack, so {config} was not changed"
        raise FleetError(str(file), f"stack {found.stack}", problem, f"write `exposure: {exposure}` there")
    with pulumi_program(in_words(found.stack)) as program:
        key = f"{found.project}:{_OLD_KEY}"
        if key in await program.config(found.stack):
            await program.remove_config(found.stack, [key])
        await program.set_config(found.stack, {f"{found.project}:exposure": {"value": exposure}})
    return f"wrote exposure {exposure} into {config}; `pulumi up --stack {shlex.quote(found.stack)}` applies it"
