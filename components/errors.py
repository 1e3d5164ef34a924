"""Errors of changes that would lose the registry's volume: a setting that moves or replaces it, another cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pulumi

from kube_registry.errors import HERE, ClusterError, KubeRegistryError, on_stack


@contextmanager
def as_run_error() -> Iterator[None]:
    """Convert a KubeRegistryError, so that it ends the program without a traceback.

    Raises:
        pulumi.RunError: instead of a KubeRegistryError.
    """
    try:
        yield
    except KubeRegistryError as error:
        raise pulumi.RunError(on_stack(str(error), pulumi.get_stack())) from error


class VolumeMovedError(
    ClusterError,
    sentence=(
        "setting {key}: {wanted!r} instead of {before!r} would replace the {what} in {where} with an empty one and "
        "lose all its {content}, so nothing was changed"
    ),
    fix="`pulumi config set --path {key} {before}` to keep the volume, or {commands} to start with an empty one",
    example={
        "where": replace(HERE, cluster=""),
        "what": "registry's volume",
        "key": "claim.storageClass",
        "before": "standard",
        "wanted": "fast",
    },
):
    """A changed setting would replace a volume with an empty one.

    Args:
        what: what the volume is.
        key: the setting.
        before: the value that the existing volume was created with.
        wanted: the new value.
        retained: whether a destroy keeps the namespace and the volume.
    """

    what: str
    key: str
    before: str
    wanted: str
    retained: bool = False

    @property
    def content(self) -> str:
        """What the volume contains."""
        return "images" if self.key in ("namespace", "claim.storageClass") else "files"

    @property
    def commands(self) -> str:
        """The commands that delete the volume and start again, in their order."""
        left = self.retained and self.key.endswith("storageClass")
        removal = [f"`{self.where.kubectl} delete namespace {self.where.namespace}`"] if left else []
        if self.what == "shared volume":
            steps = ["remove sharedVolume, then `pulumi up`", *removal, "set it again", "`pulumi up`"]
            return ", then ".join(steps)
        return ", then ".join(["`pulumi destroy`", *removal, "`pulumi up`"])


class ClaimLostError(
    ClusterError,
    sentence=(
        "setting s3: the update would delete the registry's volume in {where} with all its images, so nothing was "
        "changed"
    ),
    fix=(
        "retain the volume with `pulumi config rm s3`, `pulumi config set retain true` and "
        "`pulumi up`; copy the images that you need as docs/bucket.md describes; then `pulumi config rm retain`, and "
        "set s3 again"
    ),
    example={"where": replace(HERE, cluster="")},
):
    """The stack changes from a volume to a bucket, and would delete the volume, which is not retained."""


class OtherClusterError(
    ClusterError,
    sentence=(
        "{where.api_server} points to another cluster than the one of this stack's registry: its namespace kube-system "
        "has the uid {uid}, not {kept}. The stack would lose track of that registry, its volume and all its images, so "
        "nothing was changed"
    ),
    fix=(
        "set kubeContext and kubeconfig back, create a separate stack for this cluster with `pulumi stack init NAME`, "
        "or abandon that registry with `pulumi up --refresh --run-program --replace '{urn}'`"
    ),
    example={
        "where": replace(HERE, cluster=""),
        "uid": "0d3f1a52-6c1e-4a6f-9a52-8f0f6a3f7f5e",
        "kept": "6a1b6cf4-2a0f-4a4c-8d43-3a1b0d7f2f0c",
        "urn": "urn:pulumi:dev::kube-registry::pulumi:index:Stash::cluster-uid",
    },
):
    """The kube context points to another cluster than the one that the stack's registry is in.

    Args:
        uid: uid of the namespace kube-system in the current cluster.
        kept: the same, in the cluster of the stack's registry.
        urn: the resource that stores it.
    """

    uid: str
    kept: str
    urn: str
