"""What the state keeps of registries and images, so that registryctl works on those of any program.

Keys and shapes are those of a stack's config; kube_registry/cli/state.py reads them.
"""

from collections.abc import Mapping
from typing import Any

import pulumi

from kube_registry.kubeconfig_setting import is_contents
from kube_registry.spec.sections import ImageSettings

from .args import ClusterRegistryArgs
from .cluster import Cluster


def kept_outputs(cluster: Cluster, args: ClusterRegistryArgs) -> dict[str, Any]:
    """The outputs `settings`, by their keys in a config, and `namespace` of a registry's component.

    They do not wait for the registry to run: registryctl reads them to see why one does not.

    Args:
        cluster: the registry's.
        args: the component's; a path of a kubeconfig is kept as it is given, because a home folder is of one machine.
    """
    settings, given = cluster.settings, args.get("kubeconfig")
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


def kept_build(settings: ImageSettings, build_args: Mapping[str, pulumi.Input[str]], platform: str) -> dict[str, Any]:
    """How an image is built, by the keys of a config, and its platform.

    Args:
        settings: of the image.
        build_args: its build arguments, with secret ones as secrets.
        platform: what it is built for.
    """
    kept = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**kept, "buildArgs": build_args, "platform": platform}
