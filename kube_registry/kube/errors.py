"""Errors between this program and the API server: kubeconfig, credentials, connection, permissions."""

import shlex
from dataclasses import field, replace

from kube_registry.errors import HERE, ClusterError
from kube_registry.names import rbac_name


class KubeconfigError(
    ClusterError,
    sentence="kube context {where.kube_context!r} cannot be used with kubeconfig {kubeconfig}: {reason}",
    fix="correct the kubeconfig, or name another file with `pulumi config set kubeconfig FILE`",
    example={
        "where": replace(HERE, cluster=""),
        "kubeconfig": "/home/me/.kube/confg",
        "reason": "there is no such file",
    },
):
    """The kubeconfig, or its entry for the kube context, cannot be used."""

    kubeconfig: str
    reason: str


class KubeContextError(
    KubeconfigError,
    sentence="kube context {where.kube_context!r} cannot be used with kubeconfig {kubeconfig}: {reason}",
    fix=(
        "choose one of them with `pulumi config set kubeContext NAME`, or with `--kube-context NAME` on the command "
        "line; if the stack is already deployed, run `pulumi up --run-program` once after that"
    ),
    example={
        "where": replace(HERE, cluster=""),
        "kubeconfig": "/home/me/.kube/config",
        "reason": "it has no such kube context, only kind, prod",
    },
):
    """The kubeconfig has no such kube context."""


class CredentialPluginError(
    KubeconfigError,
    sentence=(
        "kube context {where.kube_context!r} cannot be used with kubeconfig {kubeconfig}: its credential plugin "
        "{reason}"
    ),
    fix="install the plugin, or correct `exec` of the kube context's user in the kubeconfig",
    example={
        "where": replace(HERE, cluster=""),
        "kubeconfig": "/home/me/.kube/config",
        "reason": "aws-iam-authenticator is missing",
    },
):
    """The kube context's credential plugin is missing or cannot be run."""


class CredentialPluginFailedError(
    KubeconfigError,
    sentence=(
        "kube context {where.kube_context!r} cannot be used with kubeconfig {kubeconfig}: its credential plugin "
        "{reason}"
    ),
    fix="log in as the plugin requires, then `{where.kubectl} auth whoami` shows who you are",
    example={
        "where": HERE,
        "kubeconfig": "/home/me/.kube/config",
        "reason": "aws failed with exit code 255: Unable to locate credentials",
    },
):
    """The kube context's credential plugin failed, or returned no credentials."""


class UnreachableError(
    ClusterError,
    sentence="{where.api_server} is not responding: {reason}",
    fix="check the network, and that the cluster is running",
    example={"where": HERE, "reason": "Cannot connect to host 10.0.0.1:6443"},
):
    """The API server is not responding."""

    reason: str


class CertificateError(
    UnreachableError,
    sentence="{where.api_server} has a certificate that is not trusted: {reason}",
    fix="correct `certificate-authority` of this cluster in the kubeconfig",
    example={
        "where": HERE,
        "reason": "certificate verify failed: unable to get local issuer certificate",
    },
):
    """The API server's certificate is not trusted."""


class RefusedError(
    ClusterError,
    sentence="{where.api_server} refused {request} with status {status}: {reason}",
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
        status: HTTP status of the response.
        reason: the API server's message.
        retry_after: seconds to wait before a retry, from the header Retry-After; 0 if the response has none.
    """

    request: str
    status: int
    reason: str
    retry_after: float = field(default=0.0, kw_only=True)


class UpgradeError(
    RefusedError,
    sentence="{where.api_server} did not open {request} with the protocol v4.channel.k8s.io: {reason}",
    fix="let every proxy between this machine and the API server pass WebSockets",
    example={
        "where": HERE,
        "request": "WebSocket /api/v1/namespaces/kube-registry/pods/registry-1/exec",
        "status": 400,
        "reason": "the answer was 400 Upgrade request required",
    },
):
    """The API server, the node or a proxy in between does not open the WebSocket, or uses another protocol."""


class CredentialsError(
    RefusedError,
    sentence="{where.api_server} does not accept the credentials of this kube context: {reason}",
    fix="log in again, then `{where.kubectl} auth whoami` shows who you are",
    example={
        "where": HERE,
        "request": "GET /api/v1/namespaces",
        "status": 401,
        "reason": "Unauthorized",
    },
):
    """The API server does not accept the credentials."""


class ForbiddenError(
    RefusedError,
    sentence="{where.api_server} does not let {user} {verb} {resource}{inside}",
    fix=(
        "an administrator grants this permission with "
        "`kubectl create {kind} {role} --verb={verb} --resource={resource}{only}` "
        "and `kubectl create {kind}binding {role} --{kind}={role} --user={quoted_user}{option}`; docs/rbac.md lists "
        "all permissions that are needed"
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
    """The user lacks a permission.

    Args:
        user: the user, as the API server names it.
        verb: the verb that was denied, such as get.
        resource: the resource with its subresource, such as pods/portforward.
        namespace: the resource's namespace; "" for a cluster-scoped resource.
    """

    user: str
    verb: str
    resource: str
    namespace: str

    @property
    def inside(self) -> str:
        """The namespace in which the permission is missing, as part of the sentence."""
        return f" in namespace {self.namespace}" if self.namespace else ""

    @property
    def kind(self) -> str:
        """The kind of role that grants the permission, for kubectl."""
        return "role" if self.option else "clusterrole"

    @property
    def role(self) -> str:
        """A role name that is unique for the permission and the user."""
        return rbac_name(f"kube-registry-{self.user}-{self.verb}-{self.resource}")

    @property
    def quoted_user(self) -> str:
        """The user, quoted for a shell."""
        return shlex.quote(self.user)

    @property
    def option(self) -> str:
        """The option for the namespace of role and binding; empty for a namespace, which may not exist yet."""
        return f" --namespace={self.namespace}" if self.namespace and self.resource != "namespaces" else ""

    @property
    def only(self) -> str:
        """The option that limits the role to a namespace, or to one object by its name."""
        return self.option or (f" --resource-name={self.namespace}" if self.namespace else "")
