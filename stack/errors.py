"""Everything that can go wrong for a user, as fields and one sentence.

    KubeRegistryError
    ├── SettingsError              a setting is missing, unknown or not allowed
    ├── StackError                 Pulumi does not tell the settings of a stack
    ├── BuildContextError          the files of an image are not where its settings say
    ├── DaemonError                no Docker daemon answers
    ├── TookTooLongError           a step of the update was given up
    └── ClusterError               something live: says which cluster, kube context and namespace
        ├── KubeconfigError        the kube context cannot be used as it is written down
        │   ├── CredentialPluginError  the program that it gets its credentials from is missing
        │   └── CredentialPluginFailedError  or gives none
        ├── UnreachableError       no answer from the API server
        │   └── CertificateError   the API server's certificate is not trusted
        ├── RefusedError           the API server answered no
        │   ├── CredentialsError   it does not know who asks
        │   └── ForbiddenError     who asks may not do that
        │       └── TunnelForbiddenError  namely open the tunnel
        ├── NamespaceTakenError    the namespace is there and not this stack's
        ├── HostingTakenError      tools are told of another registry already
        ├── NodePortError          the node port cannot be had
        ├── NotReadyError          registry or node proxy did not become ready in time
        ├── RegistryError          the registry answered no
        ├── VolumeFullError        its volume is full
        ├── PreflightError         nodes cannot pull from it
        ├── PreflightToldError     likewise, and another image has said which
        └── TunnelError            the port-forward to the write door
            ├── PushPortBusyError  another program listens on the push port
            ├── PodGoneError       the pod at its far end was taken away
            ├── TunnelTimeoutError no pod was reached in time
            └── TunnelProtocolError  the node speaks something else

A subclass has fields and a template; the sentence names what, where and why, and ends with what mends it.
Programming mistakes are no part of this tree.
"""

from dataclasses import dataclass, replace
from typing import ClassVar


@dataclass(frozen=True)
class Where:
    """The place that a live error speaks of.

    Args:
        cluster: URL of the API server, or a word for it while it is not known.
        kube_context: name of the kube context in the kubeconfig.
        namespace: the registry's namespace.
    """

    cluster: str
    kube_context: str
    namespace: str

    def __str__(self) -> str:
        """The words that every live error uses for it."""
        return f"namespace {self.namespace} of kube context {self.kube_context!r} ({self.cluster})"


_HERE = Where(cluster="https://10.0.0.1:6443", kube_context="my-context", namespace="kube-registry")
"""Where the examples happen."""


class _Fields(dict[str, object]):
    """An error's fields and properties, as `format_map` asks for them."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def __missing__(self, name: str) -> object:
        return getattr(self._error, name)


class KubeRegistryError(Exception):
    """Root of everything that a user can run into."""

    sentence: ClassVar[str]
    example: ClassVar[dict[str, object]] = {}
    """Fields of an example, for docs/troubleshooting.md; a class without one is never raised itself."""

    def __str__(self) -> str:
        """The template, filled in with the fields."""
        return self.sentence.format_map(_Fields(self))


@dataclass(eq=False)
class SettingsError(KubeRegistryError):
    """A setting is missing, unknown or not allowed."""

    key: str
    problem: str
    mend: str

    sentence = "setting {key}: {problem}; mend it with {mend}"
    example: ClassVar[dict[str, object]] = {
        "key": "nodePort",
        "problem": "'many' is not allowed, it takes a port number",
        "mend": "`pulumi config set --path nodePort 30100`",
    }


@dataclass(eq=False)
class StackError(KubeRegistryError):
    """Pulumi does not tell the settings of a stack."""

    stack: str
    folder: str
    reason: str
    mend: str

    sentence = "the settings of {stack} in {folder} cannot be had: {reason}; {mend}"
    example: ClassVar[dict[str, object]] = {
        "stack": "stack prod",
        "folder": "/home/me/kube-registry",
        "reason": "no stack named 'prod' found",
        "mend": "`pulumi stack ls` lists the stacks",
    }


@dataclass(eq=False)
class BuildContextError(KubeRegistryError):
    """The files of an image are not where its settings say."""

    image: str
    path: str
    problem: str

    sentence = "image {image}: {path} {problem}; correct `context` or `dockerfile` of this image in the stack's config"
    example: ClassVar[dict[str, object]] = {"image": "app", "path": "app/Dockerfile", "problem": "is not a file"}


@dataclass(eq=False)
class DaemonError(KubeRegistryError):
    """No Docker daemon answers."""

    host: str
    reason: str

    sentence = (
        "no Docker daemon answers at {host}: {reason}; start Docker or name another daemon in DOCKER_HOST, "
        "`docker info` tells when it is right"
    )
    example: ClassVar[dict[str, object]] = {
        "host": "unix:///var/run/docker.sock",
        "reason": "[Errno 2] No such file or directory",
    }


@dataclass(eq=False)
class TookTooLongError(KubeRegistryError):
    """A step of the update was given up, though each wait inside it has a bound of its own."""

    doing: str
    seconds: float

    sentence = "{doing} took longer than {seconds:.0f} s and was given up; run `pulumi up` again"
    example: ClassVar[dict[str, object]] = {"doing": "waiting to push", "seconds": 180}


@dataclass(eq=False)
class ClusterError(KubeRegistryError):
    """Something live went wrong at a known place."""

    where: Where


@dataclass(eq=False)
class KubeconfigError(ClusterError):
    """The kubeconfig or the kube context in it cannot be used."""

    kubeconfig: str
    reason: str

    sentence = (
        "{where} cannot be used with kubeconfig {kubeconfig}: {reason}; "
        "`kubectl config get-contexts` lists the kube contexts, `pulumi config set kubeContext NAME` chooses one"
    )
    example: ClassVar[dict[str, object]] = {
        "where": replace(_HERE, cluster="cluster not known"),
        "kubeconfig": "/home/me/.kube/config",
        "reason": "it has no such kube context, it has kind, prod",
    }


@dataclass(eq=False)
class CredentialPluginError(KubeconfigError):
    """The program that the kube context gets its credentials from is missing."""

    sentence = (
        "{where} cannot be used with kubeconfig {kubeconfig}: its credential plugin {reason}; "
        "install it, or correct `exec` of the kube context's user there"
    )
    example: ClassVar[dict[str, object]] = {
        "where": replace(_HERE, cluster="cluster not known"),
        "kubeconfig": "/home/me/.kube/config",
        "reason": "aws-iam-authenticator is missing",
    }


@dataclass(eq=False)
class CredentialPluginFailedError(KubeconfigError):
    """The program that the kube context gets its credentials from gives none."""

    sentence = (
        "{where} cannot be used with kubeconfig {kubeconfig}: its credential plugin {reason}; "
        "log in as it asks for, `kubectl --context {where.kube_context} auth whoami` tells when it is right"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "kubeconfig": "/home/me/.kube/config",
        "reason": "aws ended with status 255: Unable to locate credentials",
    }


@dataclass(eq=False)
class UnreachableError(ClusterError):
    """No answer from the API server."""

    reason: str

    sentence = "{where} does not answer: {reason}; check the network and that the cluster runs"
    example: ClassVar[dict[str, object]] = {"where": _HERE, "reason": "Cannot connect to host 10.0.0.1:6443"}


@dataclass(eq=False)
class CertificateError(UnreachableError):
    """The API server's certificate is not trusted."""

    sentence = (
        "{where} shows a certificate that is not trusted: {reason}; "
        "correct `certificate-authority` of this cluster in the kubeconfig"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "reason": "certificate verify failed: unable to get local issuer certificate",
    }


@dataclass(eq=False)
class RefusedError(ClusterError):
    """The API server understood the request and refused it."""

    request: str
    status: int
    reason: str

    sentence = "{where} refused {request} with status {status}: {reason}"
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "request": "GET /apis/apps/v1/namespaces/kube-registry/deployments/registry",
        "status": 429,
        "reason": "too many requests, please try again later",
    }


@dataclass(eq=False)
class CredentialsError(RefusedError):
    """The API server does not know who asks."""

    sentence = (
        "{where} does not accept the credentials of this kube context: {reason}; "
        "log in again, `kubectl --context {where.kube_context} auth whoami` tells when it is right"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "request": "GET /api/v1/namespaces",
        "status": 401,
        "reason": "Unauthorized",
    }


@dataclass(eq=False)
class ForbiddenError(RefusedError):
    """Who asks may not do that.

    Args:
        user: who asked, as the API server knows them.
        verb: what they wanted to do, such as get.
        resource: to what, such as pods/portforward.
        namespace: the namespace of that, or "" for a resource of the whole cluster.
    """

    user: str
    verb: str
    resource: str
    namespace: str

    sentence = (
        "{where} does not let {user} {verb} {resource}{inside}; docs/rbac.md says which rights are needed, "
        "`kubectl create {kind} kube-registry-{verb} --verb={verb} --resource={resource}{option}` and `kubectl create "
        "{kind}binding kube-registry-{verb} --{kind}=kube-registry-{verb} --user={user}{option}` grant it"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "request": "GET /api/v1/namespaces/kube-registry/pods/registry-1/portforward",
        "status": 403,
        "reason": "forbidden",
        "user": "eve",
        "verb": "get",
        "resource": "pods/portforward",
        "namespace": "kube-registry",
    }

    @property
    def inside(self) -> str:
        """Where the right is missing, in words."""
        return f" in namespace {self.namespace}" if self.namespace else ""

    @property
    def kind(self) -> str:
        """What kind of role grants it, for kubectl."""
        return "role" if self.namespace else "clusterrole"

    @property
    def option(self) -> str:
        """The namespace, for kubectl."""
        return f" --namespace={self.namespace}" if self.namespace else ""


@dataclass(eq=False)
class TunnelForbiddenError(ForbiddenError):
    """Who pushes may not open the tunnel."""

    push_port: int

    sentence = "no tunnel from port {push_port} of this machine: " + ForbiddenError.sentence
    example: ClassVar[dict[str, object]] = {**ForbiddenError.example, "push_port": 23286}


@dataclass(eq=False)
class NamespaceTakenError(ClusterError):
    """The namespace is there and not this stack's: taking it over would let a destroy delete what others keep in it."""

    import_line: str

    sentence = (
        "{where} is there already and not this stack's; choose another one with `pulumi config set namespace NAME`, "
        "or take it over with `{import_line}`"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "import_line": "pulumi import kubernetes:core/v1:Namespace registry-namespace kube-registry …",
    }


@dataclass(eq=False)
class HostingTakenError(ClusterError):
    """Tools such as Tilt are told of a registry in this cluster already, and not by this stack."""

    told: str

    sentence = (
        "{where} has a ConfigMap local-registry-hosting already, which says: {told}; "
        "leave it alone with `pulumi config set localRegistryHosting false`, or delete it if it is of no use any more"
    )
    example: ClassVar[dict[str, object]] = {
        "where": replace(_HERE, namespace="kube-public"),
        "told": 'host: "localhost:5000"',
    }


@dataclass(eq=False)
class NodePortError(ClusterError):
    """The node port cannot be had."""

    node_port: int
    reason: str
    proposal: int

    sentence = (
        "node port {node_port} cannot be had in {where}: {reason}; "
        "`pulumi config set nodePort {proposal}` chooses one that is free"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "node_port": 30100,
        "reason": "service web in namespace shop has it",
        "proposal": 30000,
    }


@dataclass(eq=False)
class NotReadyError(ClusterError):
    """The registry or the node proxy did not become ready in time."""

    seconds: float
    reason: str
    what: str = "registry"

    sentence = "the {what} in {where} is not ready after {seconds:.0f} s: {reason}; mend that and run `pulumi up` again"
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "seconds": 14,
        "reason": 'its claim registry has no volume: ProvisioningFailed: storageclass.storage.k8s.io "fast" not found',
    }


@dataclass(eq=False)
class RegistryError(ClusterError):
    """The registry answered no, or not at all."""

    request: str
    reason: str

    sentence = "the registry in {where} does not do {request}: {reason}; its own log says more, see `kubectl logs`"
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "request": "PUT /v2/kube-registry/preflight/manifests/probe",
        "reason": "500 Internal Server Error",
    }


@dataclass(eq=False)
class VolumeFullError(ClusterError):
    """The registry's volume is full."""

    figures: str

    sentence = (
        "the registry's volume in {where} is full: {figures}; nothing that is stored is lost, and nodes go on pulling; "
        "where its storage class lets a volume grow, `pulumi config set storageSize SIZE` and `pulumi up` make room"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "figures": "10464022528 of 10464022528 bytes are used, as its node counted them at 2026-11-25T03:16:56Z",
    }


@dataclass(eq=False)
class PreflightError(ClusterError):
    """Nodes cannot pull what would be pushed.

    Args:
        pull_host: what they pull from.
        rows: name, runtime, kube-proxy's mode and cause, of the first ten of them.
        failing: how many they are.
        nodes: of how many.
        mend: what mends most of them.
    """

    pull_host: str
    rows: tuple[tuple[str, str, str, str], ...]
    failing: int
    nodes: int
    mend: str

    sentence = (
        "{failing} of {nodes} nodes cannot pull from {pull_host} in {where}, so nothing was built; "
        "what mends it is {mend}{table}"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "pull_host": "localhost:30100",
        "rows": (("node-2", "containerd://1.7.27", "nftables", "refused on loopback"),),
        "failing": 1,
        "nodes": 2,
        "mend": "`pulumi config set nodeProxy true`",
    }

    @property
    def table(self) -> str:
        """The rows below one another, with what there is no room for."""
        rows = [("node", "runtime", "kube-proxy", "cause"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
        more = self.failing - len(self.rows)
        return "".join(f"\n  {line}" for line in lines) + (f"\n  and {more} more" if more else "")


@dataclass(eq=False)
class PreflightToldError(ClusterError):
    """Nodes cannot pull what would be pushed, and another image of the update has said which."""

    failing: int

    sentence = (
        "{failing} nodes cannot pull from the registry in {where}; the first image of the update says which and why"
    )
    example: ClassVar[dict[str, object]] = {"where": _HERE, "failing": 1}


@dataclass(eq=False)
class TunnelError(ClusterError):
    """The port-forward to the write door cannot be used."""

    push_port: int
    reason: str

    sentence = "the tunnel from port {push_port} of this machine to the registry in {where} failed: {reason}"
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "push_port": 23286,
        "reason": "pod registry-1: error forwarding port 5000 to pod: connection refused",
    }


@dataclass(eq=False)
class PushPortBusyError(TunnelError):
    """Another program listens on the push port."""

    sentence = (
        "the tunnel to the registry in {where} cannot listen on port {push_port} of this machine: {reason}; "
        "end the program that holds it, or choose another port with `pulumi config set pushPort NUMBER`, by hand with "
        "`--push-port NUMBER`"
    )
    example: ClassVar[dict[str, object]] = {"where": _HERE, "push_port": 23286, "reason": "Address already in use"}


@dataclass(eq=False)
class PodGoneError(TunnelError):
    """The pod at the tunnel's far end was taken away while it was used."""

    pod: str

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} lost pod {pod}: {reason}; "
        "push again, a new connection goes to the pod that takes its place"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "push_port": 23286,
        "pod": "registry-1",
        "reason": "its pod is on its way out",
    }


@dataclass(eq=False)
class TunnelTimeoutError(TunnelError):
    """No pod was reached in time."""

    seconds: float

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} reached no pod within "
        "{seconds:.0f} s: {reason}; mend that and push again"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "push_port": 23286,
        "seconds": 45,
        "reason": "pod registry-1 is Pending",
    }


@dataclass(eq=False)
class TunnelProtocolError(TunnelError):
    """The node, or something on the way to it, speaks another protocol."""

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} met another protocol than "
        "v4.channel.k8s.io: {reason}; a proxy on the way to the API server may not pass WebSockets on"
    )
    example: ClassVar[dict[str, object]] = {
        "where": _HERE,
        "push_port": 23286,
        "reason": "subprotocol none in place of v4.channel.k8s.io",
    }
