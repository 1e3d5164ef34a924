"""The kubernetes and docker providers, with explicit connection settings."""

import os
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_docker as docker
import pulumi_kubernetes as kubernetes

from kube_registry.docker_daemon.config import USUAL_HOSTS, BrokenStore, chosen_daemon, usual_daemon
from kube_registry.docker_daemon.config_copy import remove_left_copy
from kube_registry.kubeconfig_setting import is_contents, service_account
from kube_registry.names import IN_CLUSTER
from kube_registry.text import add_fix

from .cluster import Cluster
from .options import Aliases

_COPY_OF_DOCKER_CONFIG = {"HOME": "DOCKER_CONFIG"}
"""Environment variable of the engine -> variable of the provider that gets its value."""

_MARK_OF_COPY = ["-T"]
"""An input without effect: the provider always adds this option to ssh. The engine starts a provider with other
variables only if one of its inputs differs; otherwise it reuses the provider that a refresh started from the state."""


def kubernetes_provider(
    provider: str, cluster: Cluster, kube_context: pulumi.Input[str | None], aliases: Aliases
) -> kubernetes.Provider:
    """Create the provider for the cluster of a registry.

    The kube context of the first update identifies the cluster permanently, because another identifier would replace
    all resources; a renamed kube context replaces nothing. With an empty kubeconfig the provider uses kubectl's
    default. Without one, the SDK would store this machine's path in the state, and a refresh on another machine would
    use it. The content of a kubeconfig is a secret in the state, even if it is not in the config.

    Args:
        provider: name of the provider.
        cluster: the cluster.
        kube_context: the kube context, known after the check that it points to the registry's cluster.
        aliases: former names of the provider.
    """
    settings = cluster.settings
    kubeconfig: pulumi.Input[str] = settings.kubeconfig or ""
    if settings.kube_context == IN_CLUSTER:
        # The provider might find another one by itself.
        kubeconfig = service_account(os.environ)
    elif cluster.kubeconfig is not None:
        kubeconfig = pulumi.Output.secret(cluster.kubeconfig)
    elif settings.kubeconfig and is_contents(settings.kubeconfig):
        kubeconfig = pulumi.Output.secret(settings.kubeconfig)
    return kubernetes.Provider(
        provider,
        kubeconfig=kubeconfig,
        context=kube_context,
        cluster_identifier=settings.kube_context,
        enable_server_side_apply=True,
        opts=pulumi.ResourceOptions(ignore_changes=["clusterIdentifier"], aliases=aliases),
    )


def docker_provider(provider: str, broken: BrokenStore | None, aliases: Aliases) -> docker.Provider:
    """Create the provider for the Docker daemon of DOCKER_HOST or the current docker context, with Docker's logins.

    The provider lists Docker's credential store before it builds, and fails if the store does not work, although a push
    to the registry needs no login. In that case it reads a copy of Docker's configuration without the store, which is
    in the home folder while images are pushed (ADR 0013).

    Args:
        provider: name of the provider.
        broken: the credential store, if it does not work.
        aliases: former names of the provider.

    Raises:
        DaemonAddressError, DaemonError, DockerConfigError: Docker's configuration cannot be used.
    """
    remove_left_copy(Path.home())
    host = daemon_host(os.environ)
    if broken is None:
        return docker.Provider(provider, host=host, opts=pulumi.ResourceOptions(aliases=aliases))
    opts = pulumi.ResourceOptions(env_var_mappings=_COPY_OF_DOCKER_CONFIG, aliases=aliases)
    registered = docker.Provider(provider, host=host, ssh_opts=_MARK_OF_COPY, opts=opts)
    problem = (
        f"{broken.program}, the credsStore of Docker's config.json, cannot list its logins. Images are built without "
        "them; pushing needs no login"
    )
    fix = f"run `{broken.program} list` and correct its error, or remove credsStore from config.json"
    pulumi.log.warn(add_fix(problem, fix), registered)
    return registered


def daemon_host(environment: Mapping[str, str]) -> str:
    """Return the daemon's address for the docker provider; empty if the provider finds the daemon itself.

    The address is stored in the state, where a destroy on another machine would use it, so it is set only if necessary:
    for docker contexts, which the provider does not support, for ssh, which it reads only from its configuration, and
    for a socket in the home folder (pulumi-docker provider/image.go, `configureDockerClient`).

    Args:
        environment: the environment of the process.
    """
    host = chosen_daemon(environment) or usual_daemon()
    if host in (environment.get("DOCKER_HOST"), USUAL_HOSTS[0]) and not host.startswith("ssh://"):
        return ""
    return host
