from components.node_proxy import Listener, daemon_set_spec
from kube_registry.spec.settings import RegistrySettings

LISTENERS = [Listener("registry", 30100, "10.0.0.1", 5001)]


def user(**settings: object) -> int:
    """The uid of the node proxy of a registry with these settings."""
    parsed = RegistrySettings.parse({"kubeContext": "here", **settings}, project="p", stack="s")
    context = daemon_set_spec(parsed, LISTENERS)["template"]["spec"]["securityContext"]
    assert context["runAsUser"] == context["runAsGroup"]
    return int(context["runAsUser"])


def test_two_registries_have_two_users() -> None:
    """With one user, the kernel lets both listen on one port, and hands each connection to either."""
    assert len({user(), user(namespace="shop"), user(namespace="shop-2")}) == 3


def test_the_user_of_a_registry_stays() -> None:
    """A pod of another user cannot listen before the one that it replaces has stopped."""
    assert (user(), user(namespace="shop")) == (65532, user(namespace="shop", nodePort=8085))
