"""What keeps a stack from being pointed at another cluster, where it would leave its registry and all images behind.

A cluster is known by the uid of its namespace kube-system. The stack's state keeps that of the first update in a Stash,
which no refresh asks a cluster for (docs/adr/0023-the-volume-stays-where-it-is.md).
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pulumi

from components.errors import OtherClusterError
from kube_registry.errors import KubeRegistryError, Where, on_stack
from kube_registry.registry.preconditions import cluster_uid
from kube_registry.spec.settings import ClusterAddress

PREVIEW_SECONDS = 5.0
"""How long a preview waits for the cluster, which it does not need otherwise."""

UNKNOWN = ""
"""Kept by a stack whose first update could not see kube-system."""


def same_cluster(settings: ClusterAddress) -> pulumi.Output[str]:
    """Return the kube context, which is there only if it leads to the cluster that the stack has been in so far.

    Outside preview, what connects by it is not registered otherwise. A preview without a cluster cannot know.
    """
    thread = ThreadPoolExecutor(1)  # the program is busy with describing resources meanwhile
    asked = thread.submit(asyncio.run, _uid(settings, live=not pulumi.runtime.is_dry_run()))
    thread.shutdown(wait=False)
    found: pulumi.Output[str] = pulumi.Output.from_input(asyncio.wrap_future(asked))
    opts = pulumi.ResourceOptions(ignore_changes=["input"])
    first = pulumi.Stash("cluster-uid", input=found, opts=opts)  # its output stays what it was created with

    def compare(known: list[str]) -> str:
        uid, kept, urn = known
        if UNKNOWN not in (uid, kept) and uid != kept:
            place = Where(
                "cluster not known", settings.kube_context, settings.namespace, settings.kubeconfig, settings.stack
            )
            raise pulumi.RunError(str(OtherClusterError(where=place, uid=uid, kept=kept, urn=urn)))
        if kept == UNKNOWN != uid:
            line = (
                "this stack does not remember its cluster, so another one would not be noticed: its first update could "
                f"not read the namespace kube-system. Fix: `pulumi up --run-program --replace '{urn}'`"
            )
            pulumi.log.warn(on_stack(line, settings.stack))
        return settings.kube_context

    checked = pulumi.Output.all(found, first.output, first.urn).apply(compare)
    return pulumi.Output.from_input(settings.kube_context) if pulumi.runtime.is_dry_run() else checked


async def _uid(settings: ClusterAddress, *, live: bool) -> str:
    """The uid of kube-system, or UNKNOWN; outside preview a cluster that cannot be asked is an error."""
    try:
        async with asyncio.timeout(None if live else PREVIEW_SECONDS):
            return await cluster_uid(settings) or UNKNOWN
    except (KubeRegistryError, TimeoutError) as error:
        if live:
            raise pulumi.RunError(str(error)) from error
        return UNKNOWN
