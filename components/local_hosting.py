"""What tools such as Tilt are told of the registry: a ConfigMap that everybody may read (KEP-1755)."""

import json

import pulumi
import pulumi_kubernetes as kubernetes

from components.guards import hosting_guard
from kube_registry.names import HOSTING, HOSTING_NAMESPACE, labels
from kube_registry.spec.settings import RegistrySettings

HELP = "https://git.k8s.io/enhancements/keps/sig-cluster-lifecycle/generic/1755-communicating-a-local-registry"
"""Where a tool sends people when a push fails."""


def tell_of_registry(name: str, settings: RegistrySettings, place: pulumi.Output[str], parent: pulumi.Resource) -> None:
    """Register the ConfigMap, unless somebody else's is there.

    It says where this machine pushes while a tunnel is open, and where nodes pull; pods cannot push.

    Args:
        name: name of the component that it belongs to.
        settings: the stack.
        place: the registry's namespace, which is there once the registry stays where it is.
        parent: that component.
    """
    told = {
        "host": settings.endpoints.push_address,
        "hostFromContainerRuntime": settings.endpoints.pull_host,
        "help": HELP,
    }
    kubernetes.core.v1.ConfigMap(
        f"{name}-hosting",
        metadata={"name": HOSTING, "namespace": HOSTING_NAMESPACE, "labels": labels("hosting")},
        data={"localRegistryHosting.v1": place.apply(lambda _: json.dumps(told, indent=2))},  # JSON is YAML
        opts=pulumi.ResourceOptions(parent=parent, hooks=hosting_guard(name, settings)),
    )
