"""The errors that a user can run into. Each has fields, one sentence, and a fix where there is one.

    KubeRegistryError
    ├── SettingsError              a setting is missing, unknown or not allowed
    ├── StackError                 Pulumi cannot read the settings of a stack
    ├── BuildContextError          the files of an image are missing or cannot be built
    ├── DaemonError                the Docker daemon does not respond
    ├── DaemonAddressError         the address of the Docker daemon is not valid
    ├── DaemonTlsError             the docker context uses TLS certificates
    ├── DockerConfigError          Docker's config.json cannot be used
    ├── DaemonReachError           the Docker daemon cannot connect to the push address
    ├── PodmanVersionError         Podman is too old to push for the docker provider
    ├── PodmanHttpsError           Podman requires HTTPS at the push address
    ├── LocalTagError              the Docker daemon did not remove a superseded tag
    ├── TookTooLongError           a step of the update timed out
    ├── FleetError                 fleet.yaml is not valid
    ├── ProgramError               the `pulumi` command cannot be run
    ├── RunCancelledError          the update of a stack was cancelled
    ├── StackLockedError           another update has locked the stack
    ├── WatchError                 the files of a program cannot be watched
    ├── PreviewError               the preview of a stack failed
    ├── PreviewTooLateError        the preview of a stack timed out
    └── ClusterError               an error of a live cluster, with its kube context and namespace
        ├── KubeconfigError        the kubeconfig cannot be used
        │   ├── KubeContextError   the kube context does not exist
        │   ├── CredentialPluginError  the credential plugin is not installed
        │   └── CredentialPluginFailedError  the credential plugin failed
        ├── UnreachableError       the API server does not respond
        │   └── CertificateError   the certificate of the API server is not trusted
        ├── RefusedError           the API server rejected a request
        │   ├── UpgradeError       no WebSocket, or one with another protocol
        │   ├── CredentialsError   the credentials are not valid
        │   └── ForbiddenError     the user lacks a permission
        │       └── TunnelForbiddenError  the user may not open a port-forward
        ├── NamespaceTakenError    the namespace exists and is not part of this stack
        ├── HostingTakenError      the cluster already advertises another registry
        ├── MonitorKindMissingError  the cluster has no ServiceMonitors
        ├── VolumeMovedError       a changed setting would replace the volume
        ├── ClaimLostError         a change to a bucket would delete the volume
        ├── OtherClusterError      the kube context points to another cluster than before
        ├── NodePortError          the node port is not available
        ├── NotReadyError          the registry, its node proxy or an NFS server is not ready in time
        ├── RegistryError          a request to the registry failed
        ├── VolumeFullError        the volume is full
        ├── VolumeNotWritableError  the volume is not writable
        ├── BucketError            the registry cannot use its bucket
        ├── ContentMissingError    parts of a pushed image are missing
        ├── PreflightError         nodes cannot pull from the registry
        ├── NodeProxyNeededError   nodes need the node proxy, which the update would delete
        ├── PreflightReportedError the same, already reported for another image
        ├── MountError             nodes cannot mount a shared volume
        ├── ClaimInUseError        pods use a claim that the update would replace
        ├── LeaseHeldError         others use the registry, and this job needs it exclusively
        ├── LeaseLostError         the lease expired before it was renewed
        ├── LeaseUnreadableError   the Lease object cannot be parsed
        ├── NoListingError         the images are in a bucket, whose files cannot be listed
        ├── WrittenMeanwhileError  files were written during garbage collection
        ├── ExecError              a command in the registry's pod failed
        ├── DamagedManifestsError  manifests cannot be read, so the blobs that they need are unknown
        ├── OtherDigestError       images use layer digests other than sha256
        ├── OtherStackError        the registry to collect belongs to another stack
        ├── UsesUnknownError       objects that may use images could not be listed
        └── TunnelError            the port-forward to the write door failed
            ├── PushPortBusyError  the push port is already in use
            ├── PodGoneError       the pod was deleted during the push
            ├── TunnelTimeoutError no pod became available in time
            └── TunnelProtocolError  the peer does not use the port-forward protocol

Each class is defined in the errors.py of the folder that raises it. A subclass is a dataclass of its fields with two
templates: `sentence` (what, where, why) and `fix` (a command or an action). Programming errors are not part of this
tree.
"""

import re
import shlex
from dataclasses import dataclass, field
from typing import ClassVar, dataclass_transform

from kube_registry.kubeconfig_setting import is_contents
from kube_registry.names import IN_CLUSTER, REGISTRYCTL
from kube_registry.text import add_fix


@dataclass(frozen=True)
class Where:
    """The cluster and namespace that an error is about.

    Args:
        cluster: URL of the API server; empty while it is not known.
        kube_context: name of the kube context in the kubeconfig.
        namespace: the registry's namespace.
        kubeconfig: the setting `kubeconfig`; None for kubectl's default.
        stack: name of the registry's stack; None if only the kube context is known.
        component: name of the ClusterRegistry that has the settings as arguments; None if they are a stack's config.
    """

    cluster: str
    kube_context: str
    namespace: str
    kubeconfig: str | None = field(default=None, repr=False)
    stack: str | None = None
    component: str | None = None

    def __str__(self) -> str:
        """Return the namespace, kube context and cluster, for errors about an object in the namespace."""
        return f"namespace {self.namespace} of kube context {self.kube_context!r}" + (
            f" ({self.cluster})" if self.cluster else ""
        )

    @property
    def api_server(self) -> str:
        """Return the cluster and kube context, for errors about the cluster itself."""
        context = f"kube context {self.kube_context!r}"
        return f"cluster {self.cluster} ({context})" if self.cluster else context

    @property
    def kubectl(self) -> str:
        """Return the start of a kubectl command for this cluster with the same credentials."""
        if self.kube_context == IN_CLUSTER:
            return "kubectl"
        file = "FILE" if self.kubeconfig and is_contents(self.kubeconfig) else self.kubeconfig
        options = ["--kubeconfig", file] if file else []
        return shlex.join(["kubectl", *options, "--context", self.kube_context])

    @property
    def stack_option(self) -> str:
        """Return registryctl's options that select stack and registry; empty if only the kube context is known."""
        registry = f" --registry {shlex.quote(self.component)}" if self.component else ""
        return f" --stack {shlex.quote(self.stack)}{registry}" if self.stack else ""

    @property
    def examination(self) -> str:
        """Return a clause with the command that shows what is wrong with the registry."""
        if self.stack:
            return f"`{REGISTRYCTL} doctor{self.stack_option}` shows what is wrong"
        return f"`{self.kubectl} --namespace {self.namespace} describe deployment registry` shows what is wrong"


HERE = Where(cluster="https://10.0.0.1:6443", kube_context="my-context", namespace="kube-registry", stack="dev")
"""The place that the examples of errors use."""

_COMMAND = re.compile(r"`[^`]+`")
_SETTING = re.compile(r"`pulumi config set (?:--path )?(?P<quote>'?)(?P<key>.+?)(?P=quote) (?P<value>[^`]+)`")
_SHARED = re.compile(r"`pulumi config set --path sharedVolume\.(?P<key>\S+) (?P<value>[^`]+)`")
_OF_A_STACK = re.compile(r"\bpulumi (config|destroy|import|up)\b(?!.* --stack )")


def on_stack(text: str, stack: str | None, component: str | None = None) -> str:
    """Add `--stack NAME` to the pulumi commands of a text, because another stack may be selected.

    Args:
        text: the message of an error, with its commands in backticks.
        stack: name of the stack; None for the selected one.
        component: name of the ClusterRegistry that the settings were passed to. Then a `pulumi config set` command
            becomes the argument to change. None if the settings come from the stack's config.
    """
    if component is not None:
        text = _SHARED.sub(r"the argument `\g<key>: \g<value>` of the shared volume", text)
        text = _SETTING.sub(rf"the argument `\g<key>: \g<value>` of ClusterRegistry {component!r}", text)
    if stack is None:
        return text
    option = f"--stack {shlex.quote(stack)}"
    return _COMMAND.sub(lambda found: _OF_A_STACK.sub(lambda verb: f"{verb[0]} {option}", found[0]), text)


def other_port(port: int) -> int:
    """Return the push port to propose if one is already in use."""
    return port - 1 if port == _LAST_PORT else port + 1


_LAST_PORT = 65535


@dataclass_transform(eq_default=False, field_specifiers=(field,))
class KubeRegistryError(Exception):
    """The root of all errors that a user can run into. A subclass is a dataclass of its fields.

    A subclass passes these class arguments:
        sentence: template of what happened, where and why, with fields and properties in braces. It has no full stop
            at its end.
        fix: template of the command or action that corrects it. Omitted if there is none.
        example: fields of an example for docs/troubleshooting.md. Omitted if the class itself is never raised.
    """

    sentence: ClassVar[str]
    correction: ClassVar[str] = ""
    example: ClassVar[dict[str, object]] = {}
    registryctl: ClassVar[str] = REGISTRYCTL

    def __init_subclass__(
        cls, *, sentence: str | None = None, fix: str = "", example: dict[str, object] | None = None
    ) -> None:
        super().__init_subclass__()
        if sentence is not None:
            cls.sentence, cls.correction = sentence, fix
        if example is not None:
            cls.example = example
        dataclass(eq=False)(cls)

    def __getitem__(self, name: str) -> object:
        """Return a field or property for a template; a tuple becomes a comma-separated list."""
        value = getattr(self, name)
        return ", ".join(value) if isinstance(value, tuple) else value

    def __str__(self) -> str:
        """Return the message with its fix; bytes that are not UTF-8 are escaped, so that it can be printed."""
        message = add_fix(self.sentence.format_map(self), self.correction.format_map(self))
        return message.encode(errors="backslashreplace").decode()


class TookTooLongError(
    KubeRegistryError,
    sentence="{doing} timed out after {seconds:.0f} s",
    fix="`pulumi up`",
    example={"doing": "waiting to push", "seconds": 720},
):
    """A step of the update timed out, although each wait inside it has its own limit."""

    doing: str
    seconds: float


class ClusterError(KubeRegistryError):
    """An error of a live cluster."""

    where: Where

    def __str__(self) -> str:
        """Return the message; its commands select the stack."""
        return on_stack(super().__str__(), self.where.stack, self.where.component)
