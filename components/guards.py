"""Pulumi hooks that check preconditions before an object is created, and explain why one was rejected."""

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
    prove_monitor_kind,
    prove_namespace_free,
    prove_port_free,
    prove_reach_and_uid,
)

from .cluster import Cluster
from .push_hooks import bounded
from .volume_guard import UNSEEN

NODE_PORT_REFUSED = "nodePort: Invalid value"
"""Error of the API server for a node port that is in use or out of range (kubernetes pkg/registry/core/service)."""


def prove_preconditions(cluster: Cluster) -> str | None:
    """Check, before any resource is registered, that the Docker daemon and, except in previews, the cluster respond.

    A cluster that the same program may create is checked later (volume_guard.same_cluster). This function blocks and
    runs an event loop in a thread: nothing else runs yet, and a program that fails here has created nothing.

    Returns:
        The uid of kube-system, UNSEEN without permission to read it; None if the cluster was not checked.

    Raises:
        KubeRegistryError: one of them does not respond.
    """
    live = not pulumi.runtime.is_dry_run() and not cluster.is_later

    async def prove() -> str | None:
        async with bounded("checking the Docker daemon and the cluster"):
            await prove_daemon(os.environ)
            if live:
                return await prove_reach_and_uid(await cluster.address()) or UNSEEN
            return None

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, prove()).result()


def namespace_guard(name: str, cluster: Cluster, namespace: str, parent: pulumi.Resource) -> pulumi.ResourceHookBinding:
    """Return a hook that prevents the stack from taking over an existing namespace.

    Args:
        name: name of the component that binds the hook.
        cluster: the cluster.
        namespace: name of the namespace.
        parent: that component.
    """

    async def prove(args: pulumi.ResourceHookArgs) -> None:
        address = (await cluster.address()).model_copy(update={"namespace": namespace})
        await prove_namespace_free(address, await _import_command(args, parent), cluster.namespace_option)

    return _before_create(f"{name}:namespace", "checking the namespace", prove)


def claim_guard(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """Return a hook that lets a claim of a shared volume have the persistent volume of a claim that was deleted.

    Args:
        name: name of the claim in the stack.
        cluster: the cluster.
    """

    async def bind(args: pulumi.ResourceHookArgs) -> None:
        from kube_registry.shared_volume.claims import bind_again  # noqa: PLC0415 - slow, and no preview needs it

        await bind_again(await cluster.address(), (args.new_inputs or {})["spec"]["volumeName"])

    return _before_create(f"{name}:claim", "looking up the persistent volume", bind)


def hosting_guard(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """Return a hook that prevents the stack from overwriting the ConfigMap that advertises another registry.

    Args:
        name: name of the component that binds the hook.
        cluster: the cluster.
    """

    async def prove(_: pulumi.ResourceHookArgs) -> None:
        await prove_hosting_free(await cluster.address())

    return _before_create(f"{name}:hosting", "checking the ConfigMap that advertises a registry", prove)


def monitor_guard(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """Return a hook that reports that the cluster has no ServiceMonitors before the provider's own error does.

    Args:
        name: name of the component that binds the hook.
        cluster: the cluster.
    """

    async def prove(_: pulumi.ResourceHookArgs) -> None:
        await prove_monitor_kind(await cluster.address())

    return _before_create(f"{name}:monitor", "checking that the cluster has ServiceMonitors", prove)


def node_port_guard(name: str, cluster: Cluster) -> pulumi.ResourceHookBinding:
    """Return hooks that keep the registry from another one's port, and explain why its node port was rejected.

    Args:
        name: name of the component that binds the hook.
        cluster: the cluster.
    """

    async def prove(_: pulumi.ResourceHookArgs) -> None:
        async with bounded("checking that no other registry has the port"):
            await prove_port_free(await cluster.address())

    async def explain(args: pulumi.ErrorHookArgs) -> bool:
        if NODE_PORT_REFUSED in args.errors[0]:
            async with bounded("looking up the owner of the node port"):
                error = await explain_node_port(await cluster.address(), args.errors[0])
            pulumi.log.error(str(error), DependencyResource(args.urn))
        return False

    before = pulumi.ResourceHook(f"{name}:port", prove)
    explained = pulumi.ErrorHook(f"{name}:node-port", explain)
    return pulumi.ResourceHookBinding(before_create=[before], before_update=[before], on_error=[explained])


def _before_create(
    hook: str, doing: str, prove: Callable[[pulumi.ResourceHookArgs], Awaitable[None]]
) -> pulumi.ResourceHookBinding:
    """Return a hook that lets a resource be created only if a check succeeds."""

    async def proven(args: pulumi.ResourceHookArgs) -> None:
        async with bounded(doing):
            await prove(args)

    return pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook(hook, proven)])


async def _import_command(args: pulumi.ResourceHookArgs, parent: pulumi.Resource) -> str:
    """Return the command that imports an existing object.

    Args:
        args: the hook's arguments for the resource that was to be created.
        parent: parent of that resource, which has its provider.
    """
    provider = parent.get_provider(args.type)
    options = f"--parent registry='{await parent.urn.future()}'"
    if provider:
        options += f" --provider cluster='{await provider.urn.future()}'"
    object_name = (args.new_inputs or {})["metadata"]["name"]
    return f"pulumi import {args.type} {args.name} {object_name} {options} --protect=false --generate-code=false"
