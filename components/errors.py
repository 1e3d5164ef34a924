"""What would lose the registry's volume, and is refused: a setting that moves it, and another cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pulumi

from kube_registry.errors import HERE, ClusterError, KubeRegistryError, on_stack


@contextmanager
def as_run_error() -> Iterator[None]:
    """What goes wrong ends the program in one sentence, without a traceback.

    Raises:
        pulumi.RunError: in place of a KubeRegistryError.
    """
    try:
        yield
    except KubeRegistryError as error:
        raise pulumi.RunError(on_stack(str(error), pulumi.get_stack())) from error


class VolumeMovedError(
    ClusterError,
    sentence=(
        "setting {key}: {wanted!r} in place of {before!r} would replace the registry's volume in {where} by an empty "
        "one, and all its images would be lost; nothing was changed"
    ),
    fix="`pulumi config set --path {key} {before}` keeps the volume; {commands} in this order start with an empty one",
    example={
        "where": replace(HERE, cluster="cluster not known"),
        "key": "claim.storageClass",
        "before": "standard",
        "wanted": "fast",
    },
):
    """A changed setting would replace the registry's volume by an empty one.

    Args:
        key: the setting.
        before: its value for as long as the volume is there.
        wanted: its value now.
        retained: whether a destroy leaves namespace and volume in the cluster.
    """

    key: str
    before: str
    wanted: str
    retained: bool = False

    @property
    def commands(self) -> str:
        """The commands that give the volume up."""
        left = self.retained and self.key == "claim.storageClass"
        removal = [f"`{self.where.kubectl} delete namespace {self.where.namespace}`"] if left else []
        return ", ".join(["`pulumi destroy`", *removal, "`pulumi up`"])


class OtherClusterError(
    ClusterError,
    sentence=(
        "{where} is in another cluster than this stack's registry: its kube-system has the uid {uid}, not {kept}; the "
        "stack would lose sight of that registry, its volume and all its images, so nothing was changed"
    ),
    fix=(
        "set kubeContext and kubeconfig back, give this cluster a stack of its own with `pulumi stack init NAME`, or "
        "leave that registry behind with `pulumi up --refresh --run-program --replace '{urn}'`"
    ),
    example={
        "where": replace(HERE, cluster="cluster not known"),
        "uid": "0d3f1a52-6c1e-4a6f-9a52-8f0f6a3f7f5e",
        "kept": "6a1b6cf4-2a0f-4a4c-8d43-3a1b0d7f2f0c",
        "urn": "urn:pulumi:dev::kube-registry::pulumi:index:Stash::cluster-uid",
    },
):
    """The kube context leads to another cluster than the stack's registry is in.

    Args:
        uid: of the namespace kube-system of the cluster that it leads to.
        kept: the same, of the cluster that the stack has been in so far.
        urn: the resource that keeps it.
    """

    uid: str
    kept: str
    urn: str
