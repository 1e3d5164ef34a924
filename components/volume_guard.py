"""What keeps an update from losing the registry's volume: another place for it, and another cluster, are refused.

The engine is asked to ignore a change of the settings that decide where the volume is, so that no preview ever holds
its replacement; what it keeps is then compared with what is set. A cluster is known by the uid of its namespace
kube-system: the stack's state keeps that of the first update in a Stash, which no refresh asks a cluster for
(docs/adr/0023-the-volume-stays-where-it-is.md).
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.errors import KubeRegistryError, on_stack
from kube_registry.registry.preconditions import cluster_uid
from kube_registry.spec.settings import RegistrySettings

from .cluster import Cluster
from .errors import OtherClusterError, VolumeMovedError
from .options import Aliases

NAMESPACE_STAYS = ["metadata.name"]
"""Inputs of the Namespace whose change is ignored (Pulumi's resource option ignore_changes)."""

CLAIM_STAYS = ["spec.storageClassName", "spec.accessModes", "spec.volumeName"]
"""The same, of the claim: Kubernetes lets none of them change, so the provider would delete it and create another."""

PREVIEW_SECONDS = 5.0
"""How long a preview waits for the cluster, which it does not need otherwise."""

UNSEEN = ""
"""Kept by a stack whose first update could not see kube-system."""


def unmoved(
    settings: RegistrySettings, namespace: kubernetes.core.v1.Namespace, claim: kubernetes.core.v1.PersistentVolumeClaim
) -> pulumi.Output[str]:
    """Return the registry's namespace, which is there only if namespace and claim are where the settings have them.

    What takes its namespace from here is not registered otherwise, in preview neither.

    Args:
        settings: what was chosen for the stack.
        namespace: the registry's; its outputs are those of the state, if it is there.
        claim: the registry's, likewise.
    """

    def compare(kept: list[str | None]) -> str:
        name, storage_class = str(kept[0]), kept[1]
        changes = {
            "namespace": (name, settings.namespace),
            "claim.storageClass": (storage_class, settings.claim.storage_class),
        }
        for key, (before, wanted) in changes.items():
            if before and wanted and before != wanted:
                where = replace(settings.where, namespace=name)
                error = VolumeMovedError(where, key, before, wanted, retained=settings.retain)
                raise pulumi.RunError(str(error))
        return name

    return pulumi.Output.all(namespace.metadata.name, claim.spec.storage_class_name).apply(compare)


def same_cluster(stash: str, cluster: Cluster, aliases: Aliases) -> pulumi.Output[str | None]:
    """Return the kube context, which is there only if it leads to the cluster that the registry has been in so far.

    Outside preview, what connects by it is not registered otherwise. A preview without a cluster cannot know.

    Args:
        stash: name of the resource that keeps which cluster that is.
        cluster: where the registry is to be.
        aliases: former names of that resource.
    """
    live, settings = not pulumi.runtime.is_dry_run(), cluster.settings
    found = _found(cluster, live=live)
    opts = pulumi.ResourceOptions(ignore_changes=["input"], aliases=aliases)
    first = pulumi.Stash(stash, input=found, opts=opts)  # its output stays what it was created with

    async def compare(known: list[str]) -> str | None:
        uid, kept, urn = known
        if UNSEEN not in (uid, kept) and uid != kept:
            where = (await cluster.address()).where
            raise pulumi.RunError(str(OtherClusterError(where, uid, kept, urn)))
        if kept == UNSEEN != uid:
            line = (
                "this stack does not remember its cluster, so another one would not be noticed: its first update could "
                f"not read the namespace kube-system. Fix: `pulumi up --run-program --replace '{urn}'`"
            )
            pulumi.log.warn(on_stack(line, settings.stack))
        return cluster.kube_context

    checked: pulumi.Output[str | None] = pulumi.Output.all(found, first.output, first.urn).apply(compare)
    return checked if live else pulumi.Output.from_input(cluster.kube_context)


def _found(cluster: Cluster, *, live: bool) -> pulumi.Output[str]:
    """The uid of kube-system. A cluster that is known is asked while the program is busy with describing resources."""
    if cluster.is_later:
        there = pulumi.Output.all(cluster.kubeconfig, cluster.made)
        return pulumi.Output.unsecret(there.apply(lambda _: _uid(cluster, live=live)))
    thread = ThreadPoolExecutor(1)
    asked = thread.submit(asyncio.run, _uid(cluster, live=live))
    thread.shutdown(wait=False)
    return pulumi.Output.from_input(asyncio.wrap_future(asked))


async def _uid(cluster: Cluster, *, live: bool) -> str:
    """The uid of kube-system, or UNSEEN; outside preview a cluster that cannot be asked is an error."""
    try:
        async with asyncio.timeout(None if live else PREVIEW_SECONDS):
            return await cluster_uid(await cluster.address()) or UNSEEN
    except (KubeRegistryError, TimeoutError) as error:
        if live:
            raise pulumi.RunError(str(error)) from error
        return UNSEEN
