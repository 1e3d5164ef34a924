"""What can go wrong with the lease of a registry, and with work that is done in its pod."""

from stack.errors import HERE, ClusterError


class LeaseHeldError(
    ClusterError,
    sentence=(
        "the registry in {where} is in use by {listed}, which was waited for {seconds:.0f} s; "
        "try again when that has ended"
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

    @property
    def listed(self) -> str:
        """All holders."""
        return ", ".join(self.holders)


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


class WrittenMeanwhileError(
    ClusterError,
    sentence=(
        "something wrote {count} files to the volume of the registry in {where} without its lease while garbage was "
        "collected, as a push through a port-forward of kubectl does; nothing new was removed, and the space of what "
        "was removed is not freed yet. Fix: when that push has ended, "
        "`.venv/bin/python -m registryctl gc{where.stack_option}`"
    ),
    example={"where": HERE, "count": 3},
):
    """Something was written to the volume while garbage was collected, so the registry's own collection was not run.

    Args:
        count: how many files are new or changed.
    """

    count: int


class ExecError(
    ClusterError,
    sentence=(
        "{doing} failed in the pod of the registry in {where}: {reason}; "
        "`{where.kubectl} --namespace {where.namespace} describe pods` says more of it"
    ),
    example={
        "where": HERE,
        "doing": "listing what is stored",
        "reason": 'exec: "sh": executable file not found in $PATH',
    },
):
    """A program in the registry's pod did not do what it was to do.

    Args:
        doing: what it was to do.
        reason: its own last words, or the node's.
    """

    doing: str
    reason: str


class DamagedManifestsError(
    ClusterError,
    sentence=(
        "{count} manifests of the registry in {where} cannot be read, so nothing is removed; "
        "`.venv/bin/python -m registryctl verify{where.stack_option}` names them, and what mends them"
    ),
    example={"where": HERE, "count": 1},
):
    """Manifests cannot be read, so that nobody knows which blobs they need.

    Args:
        count: how many.
    """

    count: int


class OtherDigestError(
    ClusterError,
    sentence=(
        "{listed} of the registry in {where} name layers by a digest other than sha256. The registry's own garbage "
        "collection would remove these layers, so nothing is removed. Fix: push each image again to its tags, with "
        "digests of sha256, then `.venv/bin/python -m registryctl gc{where.stack_option}`"
    ),
    example={"where": HERE, "images": (f"app@sha256:{'5' * 64}",)},
):
    """Images that stay name a blob by a digest other than sha256, which the registry's own collection removes.

    The registry keeps the bytes under their sha256 and marks only what manifests name (distribution 3.1.2,
    registry/storage/garbagecollect.go).

    Args:
        images: REPOSITORY@DIGEST of each manifest.
    """

    images: tuple[str, ...]

    @property
    def listed(self) -> str:
        """All images."""
        return ", ".join(self.images)


class OtherStackError(
    ClusterError,
    sentence=(
        "the registry in {where} is not in the state of stack {asked}: another stack deployed it, whose outputs are "
        "not known as uses, so nothing is removed. Fix: `.venv/bin/python -m registryctl gc --stack NAME` with the "
        "name of that stack; `pulumi stack ls` lists the stacks"
    ),
    example={"where": HERE, "asked": "prod"},
):
    """A stack is asked to collect the images of a registry that it did not deploy.

    Args:
        asked: name of the stack.
    """

    asked: str


class UsesUnknownError(
    ClusterError,
    sentence=(
        "{listed} in {where} could not be listed, so images that only these name are not known and nothing more is "
        "removed. Fix: `{where.kubectl} get apiservices` shows which API does not answer; then "
        "`.venv/bin/python -m registryctl gc{where.stack_option}`, without --yes to decide without these kinds"
    ),
    example={"where": HERE, "kinds": ("*.acme.example (status 503)",)},
):
    """Kinds of objects could not be listed although they may be, so what they use is not known.

    Args:
        kinds: resource and reason of each.
    """

    kinds: tuple[str, ...]

    @property
    def listed(self) -> str:
        """All kinds."""
        return ", ".join(self.kinds)
