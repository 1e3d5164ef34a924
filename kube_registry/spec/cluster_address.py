"""The cluster and namespace of a registry: all that a connection needs."""

from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, PrivateAttr

from kube_registry.errors import Where
from kube_registry.kubeconfig_setting import with_home
from kube_registry.spec.fields import Section, Text, setting

_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?$"  # leaves room for a suffix: a DNS label has at most 63


class ClusterAddress(Section):
    """The cluster and namespace of a registry."""

    kube_context: Text = setting(
        "Kube context of the cluster, a NAME in `kubectl config get-contexts`; or in-cluster, for the service account "
        "of the pod that the program runs in.",
        "the name of a kube context",
        "my-context",
        min_length=1,
    )
    kubeconfig: Annotated[str, AfterValidator(with_home)] | None = setting(
        "Path or content of the kubeconfig; $KUBECONFIG or ~/.kube/config if not set.",
        "the path or the content of a kubeconfig",
        "~/.kube/config",
        default=None,
        repr=False,
    )
    namespace: Text = setting(
        "Namespace to create for the registry.",
        "at most 57 lower-case letters, digits and dashes",
        "kube-registry",
        default="kube-registry",
        pattern=_NAMESPACE,
    )

    _stack: str | None = PrivateAttr(default=None)
    _component: str | None = PrivateAttr(default=None)
    _secret: frozenset[str] = PrivateAttr(default=frozenset())

    def model_post_init(self, context: tuple[Collection[str], str, str | None] | None, /) -> None:
        """Store the validation context: the secret keys, the stack and the component."""
        secret, stack, component = context or ((), "", None)
        self._secret, self._stack, self._component = frozenset(secret), stack or None, component

    @property
    def stack(self) -> str | None:
        """Return the name of the stack for `pulumi --stack`; None if only the kube context is known."""
        return self._stack

    @property
    def component(self) -> str | None:
        """Return the name of the ClusterRegistry that has these arguments; None if they are a stack's config."""
        return self._component

    @property
    def where(self) -> Where:
        """Return the place for errors that happen before the API server's URL is known."""
        return Where("", self.kube_context, self.namespace, self.kubeconfig, self.stack, self.component)
