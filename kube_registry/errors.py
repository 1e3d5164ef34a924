"""Everything that can go wrong for a user, as fields and one sentence.

    KubeRegistryError
    ├── SettingsError              a setting is missing, unknown or not allowed
    ├── StackError                 Pulumi does not tell the settings of a stack
    ├── BuildContextError          the files of an image are not as a build needs them
    ├── DaemonError                no Docker daemon answers
    ├── DaemonAddressError         what names the daemon is no address of one
    ├── DaemonTlsError             the docker context has TLS certificates
    ├── DockerConfigError          Docker's config.json cannot be used
    ├── DaemonReachError           it does not reach the push address
    ├── TookTooLongError           a step of the update was given up
    ├── FleetError                 fleet.yaml is not as it should be
    ├── ProgramError               there is no `pulumi` to run the program
    ├── RunCancelledError          a stack's run was ended before it was done
    ├── StackLockedError           another update holds the stack
    ├── PreviewError               Pulumi gives no preview of a stack
    ├── PreviewTooLateError        or not in time
    └── ClusterError               something live: says which cluster, kube context and namespace
        ├── KubeconfigError        the kube context cannot be used as it is written down
        │   ├── KubeContextError   there is no such kube context
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
        ├── VolumeMovedError       a changed setting would replace the volume
        ├── OtherClusterError      the kube context leads to another cluster than before
        ├── NodePortError          the node port cannot be had
        ├── NotReadyError          registry or node proxy did not become ready in time
        ├── RegistryError          the registry answered no
        ├── VolumeFullError        its volume is full
        ├── VolumeNotWritableError  or cannot be written
        ├── ContentMissingError    it has lost a part of what was pushed
        ├── PreflightError         nodes cannot pull from it
        ├── PreflightToldError     likewise, and another image has said which
        ├── LeaseHeldError         others use it, and what is to be done bears nobody beside it
        ├── LeaseLostError         its lease was not renewed in time
        ├── LeaseUnreadableError   its lease lists no holders
        ├── WrittenMeanwhileError  something was written during a collection
        ├── ExecError              a program in its pod failed
        ├── DamagedManifestsError  nobody can tell which blobs its manifests need
        ├── OtherDigestError       images name layers by a digest other than sha256
        ├── OtherStackError        a stack did not deploy the registry whose images it is to collect
        ├── UsesUnknownError       objects that may name its images could not be listed
        └── TunnelError            the port-forward to the write door
            ├── PushPortBusyError  another program listens on the push port
            ├── PodGoneError       the pod at its far end was taken away
            ├── TunnelTimeoutError no pod was reached in time
            └── TunnelProtocolError  the node speaks something else

Each class stands in the errors.py of the folder that raises it. A subclass is a dataclass of its fields, with a
template; the sentence names what, where and why, and ends with what mends it. Programming mistakes are no part of this
tree.
"""

import re
import shlex
from dataclasses import dataclass, field
from typing import ClassVar, dataclass_transform

from kube_registry.kubeconfig_setting import is_contents
from kube_registry.names import IN_CLUSTER, REGISTRYCTL


@dataclass(frozen=True)
class Where:
    """The place that a live error speaks of.

    Args:
        cluster: URL of the API server, or a word for it while it is not known.
        kube_context: name of the kube context in the kubeconfig.
        namespace: the registry's namespace.
        kubeconfig: the setting `kubeconfig`; None for where kubectl looks.
        stack: name of the stack that the registry is of; None where only the kube context is known.
        component: name of the ClusterRegistry whose arguments the settings are; None for those of a stack's config.
    """

    cluster: str
    kube_context: str
    namespace: str
    kubeconfig: str | None = field(default=None, repr=False)
    stack: str | None = None
    component: str | None = None

    def __str__(self) -> str:
        """The words that every live error uses for it."""
        return f"namespace {self.namespace} of kube context {self.kube_context!r} ({self.cluster})"

    @property
    def kubectl(self) -> str:
        """The start of a kubectl command line that speaks to this cluster with the same credentials."""
        if self.kube_context == IN_CLUSTER:
            return "kubectl"
        file = "FILE" if self.kubeconfig and is_contents(self.kubeconfig) else self.kubeconfig
        options = ["--kubeconfig", file] if file else []
        return shlex.join(["kubectl", *options, "--context", self.kube_context])

    @property
    def stack_option(self) -> str:
        """The options of registryctl that name stack and registry; nothing where only the kube context is known."""
        registry = f" --registry {shlex.quote(self.component)}" if self.component else ""
        return f" --stack {shlex.quote(self.stack)}{registry}" if self.stack else ""

    @property
    def examination(self) -> str:
        """The command, in words, that shows what is wrong with the registry there."""
        if self.stack:
            return f"`{REGISTRYCTL} doctor{self.stack_option}` shows what is wrong"
        return f"`{self.kubectl} --namespace {self.namespace} describe deployment registry` shows what is wrong"


HERE = Where(cluster="https://10.0.0.1:6443", kube_context="my-context", namespace="kube-registry", stack="dev")
"""Where the examples happen."""


_COMMAND = re.compile(r"`[^`]+`")
_SETTING = re.compile(r"`pulumi config set (?:--path )?(?P<quote>'?)(?P<key>.+?)(?P=quote) (?P<value>[^`]+)`")
_OF_A_STACK = re.compile(r"\bpulumi (config|destroy|import|up)\b(?!.* --stack )")


def on_stack(text: str, stack: str | None, component: str | None = None) -> str:
    """Return a text whose pulumi commands, which stand in backticks, name the stack: another one may be selected.

    Args:
        text: a sentence of an error.
        stack: name of the stack; None for the selected one.
        component: name of the ClusterRegistry whose arguments the settings are, which no command sets; None for those
            of the stack's config.
    """
    if component is not None:
        text = _SETTING.sub(rf"the argument `\g<key>: \g<value>` of ClusterRegistry {component!r}", text)
    if stack is None:
        return text
    option = f"--stack {shlex.quote(stack)}"
    return _COMMAND.sub(lambda found: _OF_A_STACK.sub(lambda verb: f"{verb[0]} {option}", found[0]), text)


def other_port(port: int) -> int:
    """Return a push port to propose in place of one that is taken."""
    return port - 1 if port == _LAST_PORT else port + 1


_LAST_PORT = 65535


@dataclass_transform(eq_default=False, field_specifiers=(field,))
class KubeRegistryError(Exception):
    """Root of everything that a user can run into; a subclass is a dataclass of its fields.

    Args of a subclass:
        sentence: template of its sentence, with fields and properties in braces.
        example: fields of an example, for docs/troubleshooting.md; a class without one is never raised itself.
    """

    sentence: ClassVar[str]
    example: ClassVar[dict[str, object]] = {}
    registryctl: ClassVar[str] = REGISTRYCTL

    def __init_subclass__(cls, *, sentence: str | None = None, example: dict[str, object] | None = None) -> None:
        super().__init_subclass__()
        if sentence is not None:
            cls.sentence = sentence
        if example is not None:
            cls.example = example
        dataclass(eq=False)(cls)

    def __getitem__(self, name: str) -> object:
        """A field or property as the template takes it: a tuple as a list in words."""
        value = getattr(self, name)
        return ", ".join(value) if isinstance(value, tuple) else value

    def __str__(self) -> str:
        """The template, filled in with the fields; bytes of a name that are not UTF-8 are escaped, to be printable."""
        return self.sentence.format_map(self).encode(errors="backslashreplace").decode()


class TookTooLongError(
    KubeRegistryError,
    sentence="{doing} took longer than {seconds:.0f} s and was given up. Fix: run `pulumi up` again",
    example={"doing": "waiting to push", "seconds": 720},
):
    """A step of the update was given up, though each wait inside it has a bound of its own."""

    doing: str
    seconds: float


class ClusterError(KubeRegistryError):
    """Something live went wrong at a known place."""

    where: Where

    def __str__(self) -> str:
        """The sentence, with commands for the stack that it is about."""
        return on_stack(super().__str__(), self.where.stack, self.where.component)
