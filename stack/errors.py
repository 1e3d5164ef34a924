"""Everything that can go wrong for a user, as fields and one sentence.

    KubeRegistryError
    ├── SettingsError              a setting is missing, unknown or not allowed
    ├── BuildContextError          the files of an image are not where its settings say
    ├── TookTooLongError           a step of the update was given up
    └── ClusterError               something live: says which cluster, kube context and namespace
        ├── KubeconfigError        the kube context cannot be used as it is written down
        ├── UnreachableError       no answer from the API server
        ├── RefusedError           the API server answered no
        ├── NotReadyError          the registry did not become ready in time
        └── TunnelError            the port-forward to the write door
            └── PushPortBusyError  another program listens on the push port

A subclass has fields and a template; the sentence names what, where and why, and ends with what mends it.
Programming mistakes are no part of this tree.
"""

from dataclasses import dataclass
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


class KubeRegistryError(Exception):
    """Root of everything that a user can run into."""

    sentence: ClassVar[str]

    def __str__(self) -> str:
        """The template, filled in with the fields."""
        return self.sentence.format_map(vars(self))


@dataclass(eq=False)
class SettingsError(KubeRegistryError):
    """A setting is missing, unknown or not allowed."""

    key: str
    problem: str
    mend: str

    sentence = "setting {key}: {problem}; mend it with {mend}"


@dataclass(eq=False)
class BuildContextError(KubeRegistryError):
    """The files of an image are not where its settings say."""

    image: str
    path: str
    problem: str

    sentence = "image {image}: {path} {problem}; correct `context` or `dockerfile` of this image in the stack's config"


@dataclass(eq=False)
class TookTooLongError(KubeRegistryError):
    """A step of the update was given up, though each wait inside it has a bound of its own."""

    doing: str
    seconds: float

    sentence = "{doing} took longer than {seconds:.0f} s and was given up; run `pulumi up` again"


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
        "{where} cannot be used: {reason} (kubeconfig {kubeconfig}); "
        "`kubectl config get-contexts` lists the kube contexts, `pulumi config set kubeContext NAME` chooses one"
    )


@dataclass(eq=False)
class UnreachableError(ClusterError):
    """No answer from the API server."""

    reason: str

    sentence = "{where} does not answer: {reason}; check the network and that the cluster runs"


@dataclass(eq=False)
class RefusedError(ClusterError):
    """The API server understood the request and refused it."""

    request: str
    status: int
    reason: str

    sentence = "{where} refused {request} with status {status}: {reason}"


@dataclass(eq=False)
class NotReadyError(ClusterError):
    """The registry did not become ready in time."""

    seconds: float
    reason: str

    sentence = (
        "the registry in {where} is not ready after {seconds:.0f} s: {reason}; mend that and run `pulumi up` again"
    )


@dataclass(eq=False)
class TunnelError(ClusterError):
    """The port-forward to the write door cannot be used."""

    push_port: int
    reason: str

    sentence = "the tunnel from port {push_port} of this machine to the registry in {where} failed: {reason}"


@dataclass(eq=False)
class PushPortBusyError(TunnelError):
    """Another program listens on the push port."""

    sentence = (
        "the tunnel to the registry in {where} cannot listen on port {push_port} of this machine: {reason}; "
        "end the program that holds it, or choose another port with `pulumi config set pushPort NUMBER`"
    )
