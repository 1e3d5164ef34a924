"""What can go wrong with the registry in its cluster: its names and ports, its start, its volume, pulls from it."""

from dataclasses import replace

from kube_registry.errors import HERE, ClusterError


class NamespaceTakenError(
    ClusterError,
    sentence=(
        "{where} is there already and not this stack's. Fix: choose another one with `pulumi config set namespace "
        "NAME`, or, while this stack has no namespace, take it over with `{import_command}`"
    ),
    example={
        "where": HERE,
        "import_command": "pulumi import kubernetes:core/v1:Namespace registry-namespace kube-registry …",
    },
):
    """The namespace is there and not this stack's: taking it over would let a destroy delete what others keep in it."""

    import_command: str


class HostingTakenError(
    ClusterError,
    sentence=(
        "{where} has a ConfigMap local-registry-hosting already, which says: {told}. "
        "Fix: leave it alone with `pulumi config set localRegistryHosting false`, or delete it if nothing uses it"
    ),
    example={
        "where": replace(HERE, namespace="kube-public"),
        "told": 'host: "localhost:5000"',
    },
):
    """Tools such as Tilt are told of a registry in this cluster already, and not by this stack."""

    told: str


class NodePortError(
    ClusterError,
    sentence=(
        "node port {node_port} cannot be had in {where}: {reason}. "
        "Fix: `pulumi config set nodePort {proposal}` chooses one that is free"
    ),
    example={
        "where": HERE,
        "node_port": 30100,
        "reason": "service web in namespace shop has it",
        "proposal": 30000,
    },
):
    """The node port cannot be had."""

    node_port: int
    reason: str
    proposal: int


class NotReadyError(
    ClusterError,
    sentence="the {what} in {where} is not ready after {seconds:.0f} s: {reason}. Fix: {command}",
    example={
        "where": HERE,
        "seconds": 14,
        "reason": 'its claim registry has no volume: ProvisioningFailed: storageclass.storage.k8s.io "fast" not found',
    },
):
    """The registry or the node proxy did not become ready in time."""

    seconds: float
    reason: str
    what: str = "registry"

    @property
    def command(self) -> str:
        """What corrects the reason, by its words."""
        found = (command for words, command in _FIXES.items() if words in self.reason)
        return next(found, "correct that, then `pulumi up`").format(kubectl=self.where.kubectl)


GONE = "a part of it is gone"
"""Begins the reason where somebody has deleted one."""

_REFRESH = "`pulumi up --refresh`"
"""Takes back what was done by hand, in programs too that do not refresh on every update."""

_FIXES = {
    "is scaled to 0": _REFRESH,
    GONE: _REFRESH,
    "untolerated taint": (
        "`pulumi config set --path 'pod.tolerations[0].operator' Exists` lets it run on nodes with any taint, then "
        "`pulumi up`"
    ),
    "didn't match Pod's node affinity/selector": (
        "compare the setting `pod.nodeSelector` with `{kubectl} get nodes --show-labels`, correct one of them, then "
        "`pulumi up`"
    ),
}
"""Words of a reason -> what corrects it."""


class RegistryError(
    ClusterError,
    sentence=(
        "the registry in {where} does not do {request}: {reason}; its own log says more: "
        "`{where.kubectl} --namespace {where.namespace} logs deployment/registry --container write`"
    ),
    example={
        "where": HERE,
        "request": "PUT /v2/kube-registry/preflight/manifests/probe",
        "reason": "500 Internal Server Error",
    },
):
    """The registry answered no, or not at all.

    Args:
        request: what it was asked.
        reason: its own words, or why it did not answer.
        status: of its answer, as HTTP has it; None if there was none.
    """

    request: str
    reason: str
    status: int | None = None


class VolumeFullError(
    ClusterError,
    sentence=(
        "the registry's volume in {where} is full: {figures}; nothing that is stored is lost, and nodes go on pulling. "
        "Fix: where its storage class lets a volume grow, `pulumi config set --path claim.size SIZE` and `pulumi up` "
        "make room"
    ),
    example={
        "where": HERE,
        "figures": "10464022528 of 10464022528 bytes are used, as its node counted them at 2026-11-25T03:16:56Z",
    },
):
    """The registry's volume is full."""

    figures: str


class VolumeNotWritableError(
    ClusterError,
    sentence=(
        "the registry in {where} cannot write to its volume, so every push would fail: {reason}. "
        "The volume is {volume}; the registry runs as {user}. Fix: {mend}"
    ),
    example={
        "where": HERE,
        "reason": "mkdir /var/lib/registry/docker: permission denied",
        "volume": "registry-volume, storage class nfs, NFS nfs.example:/exports/registry",
        "user": "uid 1000",
        "mend": (
            "`chown -R 1000:1000 /exports/registry` as root on NFS server nfs.example, then `pulumi up`. Kubernetes "
            "makes a volume writable for fsGroup only if its kind takes part: NFS, hostPath and some CSI drivers do "
            "not, so a storage class of another kind avoids this. Where the platform assigns the uid, as OpenShift "
            "does, set pod.user to platform"
        ),
    },
):
    """The registry cannot write to its volume, so every push would fail.

    Args:
        reason: the system's words, with the path inside the pod.
        volume: which one it is.
        user: who the registry runs as.
        mend: what makes it writable.
    """

    reason: str
    volume: str
    user: str
    mend: str


class ContentMissingError(
    ClusterError,
    sentence=(
        "the registry in {where} does not hold all of {reference}, which was just pushed: {missing}. "
        "Fix: `pulumi up --replace '{urn}'` pushes it again"
    ),
    example={
        "where": HERE,
        "reference": "app@sha256:4bf5122f3445…",
        "missing": ("layer sha256:dbc1b4c900ff… is missing",),
        "urn": "urn:pulumi:dev::kube-registry::kube-registry:index:RegistryImage$docker:index/image:Image::app",
    },
):
    """An image was pushed, and the registry does not give all of it back.

    Args:
        reference: repository and digest.
        missing: what it is, in words.
        urn: the image's resource.
    """

    reference: str
    missing: tuple[str, ...]
    urn: str


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
