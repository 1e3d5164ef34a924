"""Errors that stop a garbage collection."""

from kube_registry.errors import HERE, ClusterError
from kube_registry.text import counted


class NoListingError(
    ClusterError,
    sentence=(
        "registryctl {verb} lists the files of a volume, but the images of the registry in {where} are in the bucket "
        "{bucket}, whose files the registry's pods cannot list"
    ),
    fix=(
        "`{registryctl} doctor{where.stack_option}` reads the images of this stack back; docs/bucket.md describes how "
        "to list and remove others"
    ),
    example={"where": HERE, "verb": "images", "bucket": "my-bucket"},
):
    """A command lists the files of a volume, and the registry has a bucket instead.

    Args:
        verb: the command.
        bucket: name of the bucket.
    """

    verb: str
    bucket: str


class WrittenMeanwhileError(
    ClusterError,
    sentence=(
        "the garbage collection of the registry in {where} was stopped: a program without the lease wrote {files} to "
        "its volume, such as a push through kubectl's port-forward. Nothing new was removed, and the space of what was "
        "removed is not freed yet"
    ),
    fix="when that push has finished, `{registryctl} gc{where.stack_option}`",
    example={"where": HERE, "count": 3},
):
    """The volume was written to during a garbage collection, so the registry's own collection was not run.

    Args:
        count: how many files are new or changed.
    """

    count: int

    @property
    def files(self) -> str:
        """The number of files."""
        return counted(self.count, "file")


class DamagedManifestsError(
    ClusterError,
    sentence="nothing was removed from the registry in {where}: {count} of its manifests cannot be read",
    fix="`{registryctl} verify{where.stack_option}`, then the fixes that it lists",
    example={"where": HERE, "count": 1},
):
    """Manifests cannot be read, so the blobs that they need are unknown.

    Args:
        count: how many manifests.
    """

    count: int


class OtherDigestError(
    ClusterError,
    sentence=(
        "nothing was removed from the registry in {where}: these images have layers with a digest other than sha256, "
        "which the registry's own garbage collection would remove: {images}"
    ),
    fix="push each image again to its tags, with sha256 digests, then `{registryctl} gc{where.stack_option}`",
    example={"where": HERE, "images": (f"app@sha256:{'5' * 64}",)},
):
    """Images to keep have layers with a digest other than sha256, which the registry's own collection would remove.

    The registry stores bytes under their sha256 and marks only what manifests name (distribution 3.1.2,
    registry/storage/garbagecollect.go).

    Args:
        images: REPOSITORY@DIGEST of each manifest.
    """

    images: tuple[str, ...]


class OtherStackError(
    ClusterError,
    sentence=(
        "nothing was removed from the registry in {where}: stack {asked} did not deploy it, and the outputs of the "
        "stack that did may name images in use"
    ),
    fix="`{registryctl} gc --stack NAME` with the name of that stack, from `pulumi stack ls`",
    example={"where": HERE, "asked": "prod"},
):
    """The garbage collection was started for a stack that did not deploy the registry.

    Args:
        asked: name of that stack.
    """

    asked: str


class UsesUnknownError(
    ClusterError,
    sentence="nothing more was removed from the registry in {where}: {kinds} could not be listed, and may name images",
    fix=(
        "find the API that does not respond with `{where.kubectl} get apiservices`, then "
        "`{registryctl} gc{where.stack_option}`, without --yes to decide without these kinds"
    ),
    example={"where": HERE, "kinds": ("*.acme.example (status 503)",)},
):
    """Kinds of objects could not be listed, although you have the permission, so the images that they use are unknown.

    Args:
        kinds: resource and reason of each kind.
    """

    kinds: tuple[str, ...]
