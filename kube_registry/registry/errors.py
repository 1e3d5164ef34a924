"""Errors of the registry in its cluster: its names and ports, its readiness, its storage, its content."""

from dataclasses import replace

from kube_registry.errors import HERE, ClusterError
from kube_registry.registry.readiness_fixes import readiness_fix


class NamespaceTakenError(
    ClusterError,
    sentence="{where} already exists, and is not part of this stack",
    fix=(
        "choose another namespace with `pulumi config set {option} NAME`, or, while this stack has no namespace, "
        "take it over with `{import_command}`"
    ),
    example={
        "where": HERE,
        "import_command": "pulumi import kubernetes:core/v1:Namespace registry-namespace kube-registry …",
        "option": "namespace",
    },
):
    """The namespace exists and is not part of this stack, so a destroy would delete what others keep in it.

    Args:
        import_command: the command that makes it part of this stack.
        option: arguments of `pulumi config set` that select the setting of the namespace.
    """

    import_command: str
    option: str


class HostingTakenError(
    ClusterError,
    sentence="{where} already has a ConfigMap local-registry-hosting, with the content {content}",
    fix="keep it with `pulumi config set localRegistryHosting false`, or delete it if it is obsolete",
    example={
        "where": replace(HERE, namespace="kube-public"),
        "content": 'host: "localhost:5000"',
    },
):
    """The cluster already advertises a registry to tools such as Tilt, in a ConfigMap that this stack does not own."""

    content: str


class MonitorKindMissingError(
    ClusterError,
    sentence="{where.api_server} has no kind ServiceMonitor, which the setting metrics.serviceMonitor requires",
    fix="install the Prometheus Operator or `pulumi config set --path metrics.serviceMonitor false`, then `pulumi up`",
    example={"where": HERE},
):
    """The setting metrics.serviceMonitor is true, and the cluster has no ServiceMonitors."""


class NodePortError(
    ClusterError,
    sentence="node port {node_port} is not available in {where}: {reason}",
    fix="choose a free port with `pulumi config set nodePort {proposal}`",
    example={
        "where": HERE,
        "node_port": 30100,
        "reason": "service web in namespace shop uses it",
        "proposal": 30000,
    },
):
    """The node port is not available."""

    node_port: int
    reason: str
    proposal: int


class NotReadyError(
    ClusterError,
    sentence="the {what} in {where} is not ready after {seconds:.0f} s: {reason}",
    fix="{command}",
    example={
        "where": HERE,
        "seconds": 14,
        "reason": 'its claim registry has no volume: ProvisioningFailed: storageclass.storage.k8s.io "fast" not found',
    },
):
    """The registry, its node proxy or an NFS server did not become ready in time."""

    seconds: float
    reason: str
    what: str = "registry"

    @property
    def command(self) -> str:
        """The commands that correct the reason, chosen by its text."""
        return readiness_fix(self.reason, self.where, self.what)


class RegistryError(
    ClusterError,
    sentence="request {request} to the registry in {where} failed: {reason}",
    fix=(
        "read its log with `{where.kubectl} --namespace {where.namespace} logs deployment/registry --container write`"
    ),
    example={
        "where": HERE,
        "request": "PUT /v2/kube-registry/preflight/manifests/probe",
        "reason": "500 Internal Server Error",
    },
):
    """The registry refused a request, or did not respond.

    Args:
        request: method and path.
        reason: the registry's message, or why there is no response.
        status: HTTP status of the response; None if there is no response.
    """

    request: str
    reason: str
    status: int | None = None


class VolumeFullError(
    ClusterError,
    sentence="the registry's volume in {where} is full: {figures}. No stored image is lost, and nodes can still pull",
    fix="if its storage class allows volume expansion, `pulumi config set --path claim.size SIZE`, then `pulumi up`",
    example={
        "where": HERE,
        "figures": "10464022528 of 10464022528 bytes are used, as of 2026-11-25T03:16:56Z",
    },
):
    """The registry's volume is full."""

    figures: str


class VolumeNotWritableError(
    ClusterError,
    sentence=(
        "the registry in {where} cannot write to its volume, so every push would fail: {reason}. "
        "The volume is {volume}; the registry runs as {user}"
    ),
    fix="{fix}",
    example={
        "where": HERE,
        "reason": "mkdir /var/lib/registry/docker: permission denied",
        "volume": "registry-volume, storage class nfs, NFS nfs.example:/exports/registry",
        "user": "uid 1000",
        "fix": (
            "`chown -R 1000:1000 /exports/registry` as root on NFS server nfs.example, then `pulumi up`. NFS, hostPath "
            "and some CSI drivers do not support fsGroup; a storage class with another kind of volume avoids this. If "
            "the platform assigns the uid, as OpenShift does, set pod.user to platform"
        ),
    },
):
    """The registry cannot write to its volume, so every push would fail.

    Args:
        reason: the operating system's message, with the path inside the pod.
        volume: name, storage class and kind of the volume.
        user: the user that the registry runs as.
        fix: what makes the volume writable.
    """

    reason: str
    volume: str
    user: str
    fix: str


class ContentMissingError(
    ClusterError,
    sentence="the registry in {where} has not stored all of {reference}, which was just pushed: {missing}",
    fix="push it again with `pulumi up --replace '{urn}'`",
    example={
        "where": HERE,
        "reference": "app@sha256:4bf5122f3445…",
        "missing": ("layer sha256:dbc1b4c900ff… is missing",),
        "urn": "urn:pulumi:dev::kube-registry::kube-registry:index:RegistryImage$docker:index/image:Image::app",
    },
):
    """An image was pushed, but parts of it are missing in the registry.

    Args:
        reference: repository and digest.
        missing: a description of each missing part.
        urn: URN of the image's resource.
    """

    reference: str
    missing: tuple[str, ...]
    urn: str


class ExecError(
    ClusterError,
    sentence="{doing} failed in the pod of the registry in {where}: {reason}",
    fix="`{where.kubectl} --namespace {where.namespace} describe pods` shows the state of the pod",
    example={
        "where": HERE,
        "doing": "listing what is stored",
        "reason": 'exec: "sh": executable file not found in $PATH',
    },
):
    """A program in the registry's pod failed.

    Args:
        doing: what the program was run for.
        reason: the end of its standard error, or the node's message.
    """

    doing: str
    reason: str


class BucketError(
    ClusterError,
    sentence="the registry in {where} cannot use bucket {bucket} of {server}, so every push would fail: {reason}",
    fix="{fix}",
    example={
        "where": HERE,
        "bucket": "my-bucket",
        "server": "AWS in eu-central-1",
        "reason": "NoSuchBucket: The specified bucket does not exist",
        "fix": (
            "create the bucket, or correct its name with `pulumi config set --path s3.bucket NAME`, then `pulumi up`"
        ),
    },
):
    """The registry cannot write to its bucket, so every push would fail.

    Args:
        bucket: name of the bucket.
        server: the server, as the registry's pods reach it.
        reason: the server's message, or why it does not respond.
        fix: what makes the bucket usable.
    """

    bucket: str
    server: str
    reason: str
    fix: str
