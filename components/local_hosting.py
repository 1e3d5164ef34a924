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

    Args:
        name: name of the component that it belongs to.
        settings: the stack.
        place: the registry's namespace, which is there once the registry stays where it is.
        parent: that component.
    """
    kubernetes.core.v1.ConfigMap(
        f"{name}-hosting",
        metadata={"name": HOSTING, "namespace": HOSTING_NAMESPACE, "labels": labels("hosting")},
        data={"localRegistryHosting.v1": place.apply(lambda _: hosting(settings))},
        opts=pulumi.ResourceOptions(parent=parent, hooks=hosting_guard(name, settings)),
    )


def hosting(settings: RegistrySettings) -> str:
    """What is told: where this machine pushes while a tunnel is open, and where nodes pull; pods cannot push.

    JSON is YAML.
    """
    told = {
        "host": settings.endpoints.push_address,
        "hostFromContainerRuntime": settings.endpoints.pull_host,
        "help": HELP,
    }
    return json.dumps(told, indent=2)
