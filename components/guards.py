"""Guards as Pulumi's hooks: what has to hold before something is made in a cluster, and why it was refused there."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pulumi
from pulumi.resource import DependencyResource

from kube_registry.docker_daemon.daemon import prove_daemon
from kube_registry.registry.preconditions import (
    explain_node_port,
    prove_hosting_free,
    prove_namespace_free,
    prove_reach,
)

from .cluster import Cluster
from .push_hooks import bounded

NODE_PORT_REFUSED = "nodePort: Invalid value"
"""What the API server says of a node port that is taken or out of range (kubernetes pkg/registry/core/service)."""


def prove_preconditions(cluster: Cluster) -> None:
    """Ask, before anything is registered, whether the Docker daemon and, outside preview, the cluster answer.

    A cluster that the same program may make is asked once it is there (volume_guard.same_cluster). Blocks, in the
    event loop of a thread: nothing else goes on yet, and a run that fails here has made nothing.

    Raises:
        KubeRegistryError: one of them does not.
    """
    live = not pulumi.runtime.is_dry_run() and not cluster.is_later

    async def ask() -> None:
        async with bounded("looking for the Docker daemon and the cluster"):
            await prove_daemon(os.environ)
            if live:
                await prove_reach(await cluster.address())

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, ask()).result()


def namespace_guard(name: str, cluster: Cluster, namespace: str, parent: pulumi.Resource) -> pulumi.ResourceHookBinding:
    """A hook that keeps a namespace of ours from being one that is somebody else's.

    Args:
        name: name of the component that binds it.
        cluster: where it is.
        namespace: its name.
        parent: that component.
    """

    async def prove(args: pulumi.ResourceHookArgs) -> None:
        address = (await cluster.address()).model_copy(update={"namespace": namespace})
        await prove_namespace_free(address, await _import_command(args, parent))

    return _before_create(f"{name}:namespace", "looking for the namespace", prove)


def hosting_guard(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """A hook that keeps what tools are told of a cluster's registry from being overwritten.

    Args:
        name: name of the component that binds it.
        cluster: where they are told.
    """

    async def prove(_: pulumi.ResourceHookArgs) -> None:
        await prove_hosting_free(await cluster.address())

    return _before_create(f"{name}:hosting", "looking for what tools are told of a registry", prove)


def node_port_guard(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """A hook that explains why the registry's node port was refused.

    Args:
        name: name of the component that binds it.
        cluster: where the registry is.
    """

    async def explain(args: pulumi.ErrorHookArgs) -> bool:
        if NODE_PORT_REFUSED in args.errors[0]:
            async with bounded("asking who has the node port"):
                error = await explain_node_port(await cluster.address(), args.errors[0])
            pulumi.log.error(str(error), DependencyResource(args.urn))
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}:node-port", explain)])


def _before_create(
    hook: str, doing: str, prove: Callable[[pulumi.ResourceHookArgs], Awaitable[None]]
) -> pulumi.ResourceHookBinding:
    """A hook that lets a resource be made once something is proven."""

    async def proven(args: pulumi.ResourceHookArgs) -> None:
        async with bounded(doing):
            await prove(args)

    return pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook(hook, proven)])


async def _import_command(args: pulumi.ResourceHookArgs, parent: pulumi.Resource) -> str:
    """The command that takes an object over which is there already.

    Args:
        args: what the hook was called with for the resource that would have been created.
        parent: of that resource; it has its provider, too.
    """
    provider = parent.get_provider(args.type)
    options = f"--parent registry='{await parent.urn.future()}'"
    if provider:
        options += f" --provider cluster='{await provider.urn.future()}'"
    object_name = (args.new_inputs or {})["metadata"]["name"]
    return f"pulumi import {args.type} {args.name} {object_name} {options} --protect=false --generate-code=false"
