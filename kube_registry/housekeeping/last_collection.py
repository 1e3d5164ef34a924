"""The time of the last garbage collection, in a Lease in the registry's namespace, from which metrics can show it.

kube-state-metrics exports the time of a Lease without further configuration, as kube_lease_renew_time. The object is
apart from the registry's own Lease, whose time every push changes.
"""

from http import HTTPStatus

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.lease.holders import timestamp
from kube_registry.names import labels

NAME = "last-collection"
"""Name of the Lease, which has no holder."""

_GROUP = "coordination.k8s.io/v1"


async def record_collection(kube: KubeClient) -> None:
    """Store the current time as that of the last collection.

    Args:
        kube: client of the registry's cluster.

    Raises:
        ClusterError: it cannot be stored.
    """
    path = kube.path("leases", NAME, group=_GROUP)
    found = await kube.find(path)
    metadata = found["metadata"] if found else {"name": NAME, "labels": labels("last-collection")}
    item = {
        "apiVersion": _GROUP,
        "kind": "Lease",
        "metadata": metadata,
        "spec": {"renewTime": timestamp()},
    }
    try:
        if found:
            await kube.replace(path, item)
        else:
            await kube.create(kube.path("leases", group=_GROUP), item, repeatable=True)
    except RefusedError as error:
        if error.status != HTTPStatus.CONFLICT:  # then another collection has ended at the same time
            raise
