"""`registryctl tunnel`: keep a tunnel open for `docker push`, crane, skopeo or a browser."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from kube_registry.cli.interrupts import until_interrupted
from kube_registry.cli.session import RegistryName, StackName, console
from kube_registry.cli.stack_registry import find_registry
from kube_registry.cli.stacks import kube_context_settings
from kube_registry.cli.tunnel_progress import keep_current, totals, watched
from kube_registry.errors import Where
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.errors import RefusedError
from kube_registry.lease.lease import lease_held
from kube_registry.limits import TUNNEL_SECONDS
from kube_registry.names import NODE_PORT, REGISTRY
from kube_registry.spec.endpoints import Endpoints
from kube_registry.text import until
from kube_registry.tunnel.listener import Tunnel, open_tunnel


def tunnel(
    stack: StackName = None,
    kube_context: Annotated[
        str | None, typer.Option(help="Kube context of the cluster, instead of a stack; works without Pulumi.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace of the registry, instead of the setting.")] = None,
    push_port: Annotated[
        int | None, typer.Option(help="Port on this machine, instead of the setting.", min=1024, max=65535)
    ] = None,
    registry: RegistryName = None,
) -> None:
    """Keep a tunnel to the registry open, to push with other tools; Ctrl-C closes it."""
    if "" in (stack, kube_context):  # an unset variable in a script must not select another cluster
        raise typer.BadParameter("--stack and --kube-context must not be empty.")
    if stack and kube_context:
        raise typer.BadParameter("--stack already has a kube context. Use --stack or --kube-context, not both.")
    if registry and kube_context:
        raise typer.BadParameter("--registry belongs to a stack. Use --registry or --kube-context, not both.")
    given: dict[str, object] = {
        key: each for key, each in (("namespace", namespace), ("pushPort", push_port)) if each is not None
    }
    asyncio.run(_tunnel(stack, registry, kube_context, given))


async def _tunnel(stack: str | None, registry: str | None, kube_context: str | None, given: dict[str, object]) -> None:
    out = console()
    opened: Tunnel | None = None
    async with until_interrupted():
        settings = (
            kube_context_settings(kube_context, given)
            if kube_context
            else (await find_registry(stack, registry, given)).settings
        )
        with watched(out) as live:
            say = partial(live.update, refresh=True) if out.is_terminal else out.print
            async with (
                open_client(settings) as kube,
                lease_held(kube, "registryctl tunnel", alone=False, say=say) as lease,
            ):
                node_port = await _node_port(kube)
                waits = f"waiting for an answer on {settings.endpoints.push_address}, {until(TUNNEL_SECONDS)}"
                live.update(waits, refresh=True)
                async with open_tunnel(kube, settings.push_port, lease) as opened:
                    _print_open(out, kube.where, settings.endpoints, node_port)
                    await keep_current(live, opened)
    if opened is not None:
        out.print(f"closed: {totals(opened)}")


async def _node_port(kube: KubeClient) -> int | None:
    """Return the registry's port on every node, from its Service; None without the permission to read it."""
    try:
        service = await kube.get(kube.path("services", REGISTRY))
    except RefusedError:
        return None
    annotations, (port,) = service["metadata"].get("annotations", {}), service["spec"]["ports"]
    number = port.get("nodePort") or annotations.get(NODE_PORT)
    return int(number) if number else None


def _print_open(out: Console, where: Where, chosen: Endpoints, node_port: int | None) -> None:
    """Print one line; on a terminal, also lines to copy."""
    endpoints = replace(chosen, node_port=node_port or chosen.node_port)
    push, pull = endpoints.push_address, endpoints.pull_host
    assumed = "" if node_port else " (assumed: no permission to read the registry's Service)"
    out.print(f"open: push address {push}, pull host {pull}{assumed}, registry in {where}")
    if out.is_terminal:
        out.print(f"  docker push {push}/NAME:TAG")
        out.print(f"  image: {pull}/NAME:TAG")
        out.print("Ctrl-C closes it.")
