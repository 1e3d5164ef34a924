"""What can go wrong with the lease of a registry."""

from kube_registry.errors import HERE, ClusterError


class LeaseHeldError(
    ClusterError,
    sentence=(
        "the registry in {where} is in use by {holders}, which was waited for {seconds:.0f} s. "
        "Fix: try again when that has ended"
    ),
    example={
        "where": HERE,
        "holders": ("registryctl gc of ada@laptop",),
        "seconds": 60.0,
    },
):
    """Others hold the registry's lease, and did not end.

    Args:
        holders: who they are and what they do.
        seconds: how long they were waited for.
    """

    holders: tuple[str, ...]
    seconds: float


class LeaseLostError(
    ClusterError,
    sentence=(
        "the lease of the registry in {where} was not renewed in time, so the work was stopped halfway: the API "
        "server did not answer, this machine was asleep, or the Lease was deleted; nothing is lost. "
        "Fix: start it again when the cluster answers"
    ),
    example={"where": HERE},
):
    """The lease was not renewed in time: the API server did not answer, or this machine was asleep."""


class LeaseUnreadableError(
    ClusterError,
    sentence=(
        "the Lease `registry` in {where} cannot be read: {reason}. Fix: make sure that nothing pushes and nothing "
        "collects garbage, then `{where.kubectl} delete lease registry --namespace {where.namespace}`; the next push "
        "makes it"
    ),
    example={
        "where": HERE,
        "reason": "annotation kube-registry/holders lists no holders: 'edited'",
    },
):
    """The Lease object lists no holders that this version can read.

    Args:
        reason: what it says in place of them.
    """

    reason: str
