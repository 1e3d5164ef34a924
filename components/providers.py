"""The two providers, each told what it talks to; nothing is taken from the surroundings."""

import pulumi_docker as docker
import pulumi_kubernetes as kubernetes

from stack.settings import Settings


def kubernetes_provider(settings: Settings) -> kubernetes.Provider:
    """The cluster that the stack's config names.

    The kube context identifies the cluster: another one replaces everything, another path of the same
    kubeconfig nothing. An empty kubeconfig lets the provider look where kubectl does; not given one, the SDK would
    write down where this machine has it, and a refresh on another one would look for it there.
    """
    return kubernetes.Provider(
        "cluster",
        kubeconfig=settings.kubeconfig or "",
        context=settings.kube_context,
        cluster_identifier=settings.kube_context,
        enable_server_side_apply=True,
    )


def docker_provider() -> docker.Provider:
    """The Docker daemon that DOCKER_HOST or the current docker context names; no registry credentials."""
    return docker.Provider("builder")
