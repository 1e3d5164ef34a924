"""What the state keeps of registries and images whose settings are arguments, so that registryctl finds them.

Keys and shapes are those of a stack's config; kube_registry/cli/state.py reads them. Where the settings are the config,
registryctl reads that, and no secret of it is needed in another place.
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
    """The outputs `settings`, by their keys in a config, and `namespace` of a registry's component.

    They do not wait for the registry to run: registryctl reads them to see why one does not. There are none where the
    settings are the stack's config.

    Args:
        cluster: the registry's.
        args: the component's (args.ClusterRegistryArgs); a path of a kubeconfig is kept as it is given, because a home
            folder is of one machine.
    """
    settings, given = cluster.settings, args.get("kubeconfig")
    if settings.component is None:
        return {}
    kept = settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"images"})
    if cluster.kube_context is None:
        del kept["kubeContext"]  # it has what identifies the cluster; the kube context is the kubeconfig's current one
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
    """The outputs `registry`, `repository` and `build` of an image's component; none where `kept_outputs` has none.

    Args:
        registry: that it is pushed to.
        build: its build.
        build_args: its build arguments, with secret ones as secrets.
    """
    if registry.settings.component is None:
        return {}
    kept = build.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    kept |= {"buildArgs": build_args, "platform": build.platform}
    return {"registry": registry.urn, "repository": build.image, "build": kept}
