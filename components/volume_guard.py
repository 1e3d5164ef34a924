"""Guards that prevent an update from losing the registry's volume: they reject another location and another cluster.

The engine ignores changes of the inputs that decide where the volume is, so that no preview plans its replacement. The
guards compare the values in the state with the settings. A cluster is identified by the uid of its namespace
kube-system: a Stash keeps the uid of the first update in the stack's state, and a refresh does not change it
(docs/adr/0023-the-volume-stays-where-it-is.md).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.errors import KubeRegistryError, on_stack
from kube_registry.registry.preconditions import cluster_uid
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import add_fix

from .cluster import Cluster
from .errors import OtherClusterError, VolumeMovedError
from .options import Aliases

NAMESPACE_STAYS = ["metadata.name"]
"""Inputs of the Namespace whose changes are ignored (Pulumi's resource option ignore_changes)."""

CLAIM_STAYS = ["spec.storageClassName", "spec.accessModes", "spec.volumeName"]
"""The same for the claim: these fields are immutable, so the provider would delete the claim and create another."""

PREVIEW_SECONDS = 5.0
"""How long a preview waits for the cluster, which it needs for nothing else."""

T = TypeVar("T")

UNSEEN = ""
"""Stored by a stack whose first update could not read the namespace kube-system."""


def unmoved(
    settings: RegistrySettings,
    namespace: kubernetes.core.v1.Namespace,
    claim: kubernetes.core.v1.PersistentVolumeClaim,
    wanted: Sequence[tuple[str, str | None]],
    what: str,
) -> pulumi.Output[str]:
    """Return a namespace, or fail if the settings would move it or its claim.

    Resources that depend on this output are then not registered, even in a preview.

    Args:
        settings: settings of the registry.
        namespace: the namespace; if it exists, its outputs have the values of the state.
        claim: the claim, with the same outputs.
        wanted: the settings for the namespace's name and the claim's storage class, each with its value.
        what: what the volume is, for errors.
    """

    def compare(kept: list[str | None]) -> str:
        name = str(kept[0])
        for before, (key, value) in zip(kept, wanted, strict=True):
            if before and value and before != value:
                where = replace(settings.where, namespace=name)
                error = VolumeMovedError(where, what, key, before, value, retained=settings.retain)
                raise pulumi.RunError(str(error))
        return name

    return pulumi.Output.all(namespace.metadata.name, claim.spec.storage_class_name).apply(compare)


def same_cluster(stash: str, cluster: Cluster, uid: str | None, aliases: Aliases) -> pulumi.Output[str | None]:
    """Return the kube context, or fail if it points to another cluster than the one that contains the registry.

    Resources that use it are then not registered, except in a preview, which may not be able to connect to the cluster.

    Args:
        stash: name of the resource that stores the cluster's uid.
        cluster: the cluster to deploy to.
        uid: the uid of its namespace kube-system, or UNSEEN; None to look it up.
        aliases: former names of that resource.
    """
    live, settings = not pulumi.runtime.is_dry_run(), cluster.settings
    found = _found(cluster, live=live) if uid is None else pulumi.Output.from_input(uid)
    opts = pulumi.ResourceOptions(ignore_changes=["input"], aliases=aliases)
    first = pulumi.Stash(stash, input=found, opts=opts)  # its output keeps the first value

    async def compare(known: list[str]) -> str | None:
        uid, kept, urn = known
        if UNSEEN not in (uid, kept) and uid != kept:
            where = (await cluster.address()).where
            raise pulumi.RunError(str(OtherClusterError(where, uid, kept, urn)))
        if kept == UNSEEN != uid:
            line = (
                "this stack cannot detect a change of its cluster: its first update was not allowed to read the "
                "namespace kube-system"
            )
            fix = f"`pulumi up --run-program --replace '{urn}'`"
            pulumi.log.warn(on_stack(add_fix(line, fix), settings.stack))
        return cluster.kube_context

    checked: pulumi.Output[str | None] = pulumi.Output.all(found, first.output, first.urn).apply(compare)
    return checked if live else pulumi.Output.from_input(cluster.kube_context)


def _found(cluster: Cluster, *, live: bool) -> pulumi.Output[str]:
    """Look up the uid of kube-system: of a known cluster, in a preview, in a thread while the program runs."""
    if cluster.is_later:
        there = pulumi.Output.all(cluster.kubeconfig, cluster.made)
        return pulumi.Output.unsecret(there.apply(lambda _: _uid(cluster, live=live)))
    thread = ThreadPoolExecutor(1)
    future = thread.submit(asyncio.run, _uid(cluster, live=live))
    thread.shutdown(wait=False)
    return pulumi.Output.from_input(asyncio.wrap_future(future))


async def _uid(cluster: Cluster, *, live: bool) -> str:
    """Return the uid of kube-system, or UNSEEN."""

    async def ask() -> str:
        return await cluster_uid(await cluster.address()) or UNSEEN

    return await asked(ask, UNSEEN, live=live)


async def asked(ask: Callable[[], Awaitable[T]], otherwise: T, *, live: bool) -> T:
    """Return an answer of the cluster; in a preview, `otherwise` if it does not respond.

    Args:
        ask: asks the cluster.
        otherwise: the answer of a cluster that does not respond within PREVIEW_SECONDS.
        live: whether this is an update, in which such a cluster is an error.

    Raises:
        pulumi.RunError: the cluster does not respond, or a permission is missing.
    """
    try:
        async with asyncio.timeout(None if live else PREVIEW_SECONDS):
            return await ask()
    except (KubeRegistryError, TimeoutError) as error:
        if live:
            raise pulumi.RunError(str(error)) from error
        return otherwise
