"""Outputs that store the arguments of registries and images in the state, where registryctl reads them.

They have the form of a stack's config; kube_registry/cli/state.py reads them. If the settings come from the stack's
config, registryctl reads the config, and its secrets are not stored a second time.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from kube_registry.build.build import Build
from kube_registry.kubeconfig_setting import is_contents

from .cluster import Cluster

if TYPE_CHECKING:
    from .cluster_registry import ClusterRegistry


def kept_outputs(cluster: Cluster, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs `settings`, with the keys of a config, and `namespace` of a ClusterRegistry.

    They are known before the registry is ready, because registryctl uses them to find out why it is not. The result is
    empty if the settings come from the stack's config.

    Args:
        cluster: the cluster of the registry.
        args: the component's arguments (args.ClusterRegistryArgs). The path of a kubeconfig is stored as given, because
            the home folder differs between machines.
    """
    settings, given = cluster.settings, args.get("kubeconfig")
    if settings.component is None:
        return {}
    kept = settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"images", *settings.unused})
    if cluster.kube_context is None:
        del kept["kubeContext"]  # it is a generated identifier; the kube context is the kubeconfig's current one
    if cluster.kubeconfig is not None:
        kept["kubeconfig"] = pulumi.Output.secret(cluster.kubeconfig)
    elif settings.kubeconfig and is_contents(settings.kubeconfig):
        kept["kubeconfig"] = pulumi.Output.secret(settings.kubeconfig)
    elif isinstance(given, str):
        kept["kubeconfig"] = given
    return {"namespace": settings.namespace, "settings": kept}


def kept_image(
    registry: "ClusterRegistry", build: Build, build_args: Mapping[str, pulumi.Input[str]]
) -> dict[str, Any]:
    """Return the outputs `registry`, `repository` and `build` of a RegistryImage, or none like `kept_outputs`.

    Args:
        registry: the registry of the image.
        build: the build.
        build_args: its build arguments; secret ones are Pulumi secrets.
    """
    if registry.settings.component is None:
        return {}
    kept = build.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    kept |= {"buildArgs": build_args, "platform": build.platform}
    return {"registry": registry.urn, "repository": build.image, "build": kept}
