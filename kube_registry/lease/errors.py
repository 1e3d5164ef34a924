"""Errors of a registry's lease."""

from kube_registry.errors import HERE, ClusterError


class LeaseHeldError(
    ClusterError,
    sentence="the registry in {where} is in use by {holders}; waited {seconds:.0f} s",
    fix="try again when that has finished",
    example={
        "where": HERE,
        "holders": ("registryctl gc of ada@laptop",),
        "seconds": 60.0,
    },
):
    """Others hold the registry's lease, and did not release it in time.

    Args:
        holders: what each holder does, with its user and machine.
        seconds: how long this program waited.
    """

    holders: tuple[str, ...]
    seconds: float


class LeaseLostError(
    ClusterError,
    sentence=(
        "the lease of the registry in {where} was not renewed in time, so the work was stopped halfway: the API "
        "server did not respond, this machine was asleep, or the Lease was deleted; no data is lost"
    ),
    fix="start it again when the cluster responds",
    example={"where": HERE},
):
    """The lease was not renewed in time: the API server did not respond, or this machine was asleep."""


class LeaseUnreadableError(
    ClusterError,
    sentence="the Lease `registry` in {where} cannot be parsed: {reason}",
    fix=(
        "make sure that no push and no garbage collection is running, then "
        "`{where.kubectl} delete lease registry --namespace {where.namespace}`; the next push creates it again"
    ),
    example={
        "where": HERE,
        "reason": "annotation kube-registry/holders is not a list of holders: 'edited'",
    },
):
    """The Lease object has no list of holders that this version can parse.

    Args:
        reason: the annotation's content.
    """

    reason: str
