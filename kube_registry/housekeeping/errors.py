"""What stops a garbage collection."""

from kube_registry.errors import HERE, ClusterError


class WrittenMeanwhileError(
    ClusterError,
    sentence=(
        "something wrote {count} files to the volume of the registry in {where} without its lease while garbage was "
        "collected, as a push through a port-forward of kubectl does; nothing new was removed, and the space of what "
        "was removed is not freed yet. Fix: when that push has ended, "
        "`{registryctl} gc{where.stack_option}`"
    ),
    example={"where": HERE, "count": 3},
):
    """Something was written to the volume while garbage was collected, so the registry's own collection was not run.

    Args:
        count: how many files are new or changed.
    """

    count: int


class DamagedManifestsError(
    ClusterError,
    sentence=(
        "{count} manifests of the registry in {where} cannot be read, so nothing is removed. "
        "Fix: `{registryctl} verify{where.stack_option}` names them and what corrects each"
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
        "{images} of the registry in {where} name layers by a digest other than sha256. The registry's own garbage "
        "collection would remove these layers, so nothing is removed. Fix: push each image again to its tags, with "
        "digests of sha256, then `{registryctl} gc{where.stack_option}`"
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


class OtherStackError(
    ClusterError,
    sentence=(
        "the registry in {where} is not in the state of stack {asked}: another stack deployed it, whose outputs are "
        "not known as uses, so nothing is removed. Fix: `{registryctl} gc --stack NAME` with the "
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
        "{kinds} in {where} could not be listed, so images that only these name are not known and nothing more is "
        "removed. Fix: `{where.kubectl} get apiservices` shows which API does not answer; then "
        "`{registryctl} gc{where.stack_option}`, without --yes to decide without these kinds"
    ),
    example={"where": HERE, "kinds": ("*.acme.example (status 503)",)},
):
    """Kinds of objects could not be listed although they may be, so what they use is not known.

    Args:
        kinds: resource and reason of each.
    """

    kinds: tuple[str, ...]
