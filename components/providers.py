"""The two providers, each told what it talks to; nothing is taken from the surroundings."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pulumi_docker as docker
import pulumi_kubernetes as kubernetes

from kube_registry.docker_daemon.config import USUAL_HOSTS, BrokenStore, chosen_daemon, usual_daemon
from kube_registry.docker_daemon.config_copy import remove_left_copy
from kube_registry.kubeconfig_setting import is_contents
from kube_registry.names import IN_CLUSTER

from .cluster import Cluster
from .options import Aliases

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its own (Kubernetes documentation, Accessing the Kubernetes API from a Pod)."""


_COPY_OF_DOCKER_CONFIG = {"HOME": "DOCKER_CONFIG"}
"""The engine's variable -> the provider's, which gets its value."""

_MARK_OF_COPY = ["-T"]
"""Changes nothing: the provider adds it to every ssh of its own. The engine starts a provider with other variables only
if an input of it differs, too; otherwise it goes on with the one that a refresh has started from the state."""


def kubernetes_provider(
    provider: str, cluster: Cluster, kube_context: pulumi.Input[str | None], aliases: Aliases
) -> kubernetes.Provider:
    """The cluster of a registry.

    The kube context of the first update identifies the cluster for good: another identifier would replace everything,
    so a kube context that was renamed replaces nothing. An empty kubeconfig lets the provider look where kubectl does;
    not given one, the SDK would write down where this machine has it, and a refresh on another one would look for it
    there. A kubeconfig that is given itself is a secret in the state, even if it is none in the config.

    Args:
        provider: its name.
        cluster: the cluster.
        kube_context: the kube context, which is there once it is proven to lead to the registry's cluster.
        aliases: its former names.
    """
    settings = cluster.settings
    kubeconfig: pulumi.Input[str] = settings.kubeconfig or ""
    if settings.kube_context == IN_CLUSTER:
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


def service_account(environment: Mapping[str, str]) -> str:
    """A kubeconfig of the pod that the program runs in: left to look for one, the provider might find another first.

    Args:
        environment: where the kubelet has written the API server's address.
    """
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    cluster = {"server": server, "certificate-authority": f"{_SERVICE_ACCOUNT}/ca.crt"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": IN_CLUSTER, "cluster": cluster}],
            "users": [{"name": IN_CLUSTER, "user": {"tokenFile": f"{_SERVICE_ACCOUNT}/token"}}],
            "contexts": [{"name": IN_CLUSTER, "context": {"cluster": IN_CLUSTER, "user": IN_CLUSTER}}],
        }
    )


def docker_provider(provider: str, broken: BrokenStore | None, aliases: Aliases) -> docker.Provider:
    """The Docker daemon that DOCKER_HOST or the current docker context names, with the logins that Docker has.

    The provider lists Docker's credential store before it builds and fails if that does not work, though our push needs
    no login. Then it reads a copy of Docker's configuration without the store, in the home folder, which is there while
    images are pushed (ADR 0013).

    Args:
        provider: its name.
        broken: that store, where it does not work.
        aliases: its former names.

    Raises:
        DaemonAddressError, DaemonError, DockerConfigError: Docker's own configuration cannot be used.
    """
    remove_left_copy(Path.home())
    host = told_daemon(os.environ)
    if broken is None:
        return docker.Provider(provider, host=host, opts=pulumi.ResourceOptions(aliases=aliases))
    opts = pulumi.ResourceOptions(env_var_mappings=_COPY_OF_DOCKER_CONFIG, aliases=aliases)
    registered = docker.Provider(provider, host=host, ssh_opts=_MARK_OF_COPY, opts=opts)
    pulumi.log.warn(
        f"{broken.program}, the credsStore of Docker's config.json, does not list its logins. This builds without the "
        f"logins that only it has; pushing needs none. Fix: run `{broken.program} list` and correct what it says, or "
        "remove credsStore from config.json.",
        registered,
    )
    return registered


def told_daemon(environment: Mapping[str, str]) -> str:
    """The address that the docker provider is told; empty where it finds the daemon itself.

    What it is told stays in the state, where a destroy on another machine would look for this machine's daemon. It has
    to be told of docker contexts, which it does not know, of ssh, which it takes from its configuration only, and of a
    socket in the home folder (pulumi-docker provider/image.go, `configureDockerClient`).

    Args:
        environment: the process's environment.
    """
    host = chosen_daemon(environment) or usual_daemon()
    if host in (environment.get("DOCKER_HOST"), USUAL_HOSTS[0]) and not host.startswith("ssh://"):
        return ""
    return host
