"""What can go wrong between us and the API server: kubeconfig, credentials, connection, rights."""

import shlex
from dataclasses import field, replace

from kube_registry.errors import HERE, ClusterError
from kube_registry.names import rbac_name


class KubeconfigError(
    ClusterError,
    sentence=(
        "{where} cannot be used with kubeconfig {kubeconfig}: {reason}. "
        "Fix: correct it there, or name another file with `pulumi config set kubeconfig FILE`"
    ),
    example={
        "where": replace(HERE, cluster="cluster not known"),
        "kubeconfig": "/home/me/.kube/confg",
        "reason": "there is no such file",
    },
):
    """The kubeconfig or what it says of the kube context cannot be used."""

    kubeconfig: str
    reason: str


class KubeContextError(
    KubeconfigError,
    sentence=(
        "{where} cannot be used with kubeconfig {kubeconfig}: {reason}. "
        "Fix: choose one of them with `pulumi config set kubeContext NAME`, by hand with `--kube-context NAME`. A "
        "stack that was deployed takes `pulumi up --run-program` after that, once"
    ),
    example={
        "where": replace(HERE, cluster="cluster not known"),
        "kubeconfig": "/home/me/.kube/config",
        "reason": "it has no such kube context, it has kind, prod",
    },
):
    """The kubeconfig has no such kube context."""


class CredentialPluginError(
    KubeconfigError,
    sentence=(
        "{where} cannot be used with kubeconfig {kubeconfig}: its credential plugin {reason}. "
        "Fix: install it, or correct `exec` of the kube context's user there"
    ),
    example={
        "where": replace(HERE, cluster="cluster not known"),
        "kubeconfig": "/home/me/.kube/config",
        "reason": "aws-iam-authenticator is missing",
    },
):
    """The program that the kube context gets its credentials from is missing."""


class CredentialPluginFailedError(
    KubeconfigError,
    sentence=(
        "{where} cannot be used with kubeconfig {kubeconfig}: its credential plugin {reason}. "
        "Fix: log in as it asks for, then `{where.kubectl} auth whoami` shows who you are"
    ),
    example={
        "where": HERE,
        "kubeconfig": "/home/me/.kube/config",
        "reason": "aws ended with status 255: Unable to locate credentials",
    },
):
    """The program that the kube context gets its credentials from gives none."""


class UnreachableError(
    ClusterError,
    sentence="{where} does not answer: {reason}. Fix: check the network and that the cluster runs",
    example={"where": HERE, "reason": "Cannot connect to host 10.0.0.1:6443"},
):
    """No answer from the API server."""

    reason: str


class CertificateError(
    UnreachableError,
    sentence=(
        "{where} shows a certificate that is not trusted: {reason}. "
        "Fix: correct `certificate-authority` of this cluster in the kubeconfig"
    ),
    example={
        "where": HERE,
        "reason": "certificate verify failed: unable to get local issuer certificate",
    },
):
    """The API server's certificate is not trusted."""


class RefusedError(
    ClusterError,
    sentence="{where} refused {request} with status {status}: {reason}",
    example={
        "where": HERE,
        "request": "GET /apis/apps/v1/namespaces/kube-registry/deployments/registry",
        "status": 429,
        "reason": "too many requests, please try again later",
    },
):
    """The API server understood the request and refused it.

    Args:
        request: method and path.
        status: of its answer.
        reason: its words.
        retry_after: how many seconds later it wants to be asked again; 0 if it does not say.
    """

    request: str
    status: int
    reason: str
    retry_after: float = field(default=0.0, kw_only=True)


class CredentialsError(
    RefusedError,
    sentence=(
        "{where} does not accept the credentials of this kube context: {reason}. "
        "Fix: log in again, then `{where.kubectl} auth whoami` shows who you are"
    ),
    example={
        "where": HERE,
        "request": "GET /api/v1/namespaces",
        "status": 401,
        "reason": "Unauthorized",
    },
):
    """The API server does not know who asks."""


class ForbiddenError(
    RefusedError,
    sentence=(
        "{where} does not let {user} {verb} {resource}{inside}. Fix: an administrator grants this right with "
        "`kubectl create {kind} {role} --verb={verb} --resource={resource}{only}` and "
        "`kubectl create {kind}binding {role} --{kind}={role} --user={quoted_user}{option}`; docs/rbac.md lists all "
        "that are needed"
    ),
    example={
        "where": HERE,
        "request": "GET /api/v1/namespaces/kube-registry/pods/registry-1/portforward",
        "status": 403,
        "reason": "forbidden",
        "user": "eve",
        "verb": "get",
        "resource": "pods/portforward",
        "namespace": "kube-registry",
    },
):
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

    @property
    def inside(self) -> str:
        """Where the right is missing, in words."""
        return f" in namespace {self.namespace}" if self.namespace else ""

    @property
    def kind(self) -> str:
        """What kind of role grants it, for kubectl."""
        return "role" if self.option else "clusterrole"

    @property
    def role(self) -> str:
        """A name for the role that no other right and no other user has."""
        return rbac_name(f"kube-registry-{self.user}-{self.verb}-{self.resource}")

    @property
    def quoted_user(self) -> str:
        """The user, for a shell."""
        return shlex.quote(self.user)

    @property
    def option(self) -> str:
        """The namespace of role and binding, for kubectl; none for the namespace itself, which may not be there yet."""
        return f" --namespace={self.namespace}" if self.namespace and self.resource != "namespaces" else ""

    @property
    def only(self) -> str:
        """What the role is bounded to, for kubectl."""
        return self.option or (f" --resource-name={self.namespace}" if self.namespace else "")
