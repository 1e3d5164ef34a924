"""ClusterRegistry: the registry of one cluster, from its namespace to the node port, with its images.

This module creates the resources in the right order; registry_pod.py defines the pod. Every update checks that the
registry is ready and reports the reason if it is not: the provider's own check waits for minutes and prints many lines.
"""

import json
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack, cast

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.docker_daemon.config import broken_store
from kube_registry.names import (
    FORCE,
    HOSTING,
    HOSTING_NAMESPACE,
    READ_PORT,
    READ_SERVICE,
    REGISTRY_TYPE,
    RETAINED,
    labels,
)
from kube_registry.push.push_path import PushPath
from kube_registry.spec.shared_volume import SharedVolumeSettings

from .args import ClusterRegistryArgs, ImageArgs, SharedVolumeArgs
from .cluster import cluster_of
from .door_config import config_files
from .errors import as_run_error
from .guards import hosting_guard, namespace_guard, prove_preconditions
from .kept import kept_outputs
from .node_proxy import Listener, NodeProxy, address_of
from .options import aliases_beside, brought, with_providers
from .providers import docker_provider, kubernetes_provider
from .push_hooks import push_hooks, ready_first, when_ready
from .registry_image import RegistryImage, prove_builds
from .registry_pod import RESTRICTED, deployment_spec, read_door_only
from .services import node_port_service, read_service, service_monitor
from .settings import ConfigArgs, arguments, own_name
from .storage import metadata_in, storage_of
from .volume_guard import NAMESPACE_STAYS, same_cluster

HOSTING_HELP = "https://git.k8s.io/enhancements/keps/sig-cluster-lifecycle/generic/1755-communicating-a-local-registry"
"""The page that tools show when a push fails."""


class ClusterRegistry(pulumi.ComponentResource):
    """A registry in the cluster. Images are pushed to it through a tunnel and pulled from every node's loopback.

    Args:
        name: its name in the stack.
        args: its arguments, which may also be passed by name.
        opts: resource options. They, or the parent, may contain kubernetes and docker providers; missing providers are
            created.

    Raises:
        pulumi.RunError: an argument is not allowed, or the Docker daemon or the cluster does not respond.
    """

    namespace: pulumi.Output[str]
    """Namespace of the registry, known when the registry is ready."""
    node_port: int
    """Port of the registry on every node."""
    pull_host: str
    """Host and port that every node pulls from."""
    cluster_host: str
    """Host and port that pods read from, whose localhost is not the node's."""
    push_address: str
    """Host and port to push images to."""
    references: pulumi.Output[dict[str, str]]
    """Pull references of `images`, with digests: repository -> reference."""

    def __init__(
        self,
        name: str,
        args: ClusterRegistryArgs = {},  # noqa: B006 - it is never changed, and Pulumi's analyzer requires a TypedDict
        opts: pulumi.ResourceOptions | None = None,
        **inputs: Unpack[ClusterRegistryArgs],
    ) -> None:
        with as_run_error():
            given = cast("ClusterRegistryArgs", arguments(ClusterRegistryArgs, args, inputs))
            self.cluster = cluster_of(name, given, opts, in_config=isinstance(args, ConfigArgs))
            self.builds = prove_builds(args.stack if isinstance(args, ConfigArgs) else self.cluster.settings)
            self._uid = prove_preconditions(self.cluster)
            self._broken_store = broken_store(os.environ)
            self.providers = self._make_providers(name, opts)
        super().__init__(REGISTRY_TYPE, name, {}, with_providers(opts, self.providers))
        self.settings = settings = self.cluster.settings
        self.endpoints = settings.endpoints
        self._path: PushPath | None = None
        self.push_names, self.shared = set[str](), dict[str, SharedVolumeSettings]()
        self.push_hooks = push_hooks(name, self._push_path, self.push_names)
        self._namespace = self._own_namespace(name)
        self.storage = storage_of(name, self.cluster, self._namespace, self)
        self._place = self.storage.place
        deployment = self._deployment(name)
        self.needed_to_push: list[pulumi.CustomResource] = [deployment, *self._exposing(name, deployment)]
        if settings.local_registry_hosting:
            self._hosting(name)
        self.namespace = when_ready(self._once_created(), self._push_path, self)
        self.node_port, self.pull_host = settings.node_port, self.endpoints.pull_host
        self.cluster_host, self.push_address = self.endpoints.cluster_host, self.endpoints.push_address
        self.references = pulumi.Output.from_input(self._images(name, given.get("images") or {}))
        self._share(f"{name}-shared-volume", given.get("shared_volume"))
        self.outputs: dict[str, pulumi.Input[Any]] = {
            "namespace": self.namespace,
            "nodePort": self.node_port,
            "pullHost": self.pull_host,
            "clusterHost": self.cluster_host,
            "pushAddress": self.push_address,
        }
        self.register_outputs({**self.outputs, **kept_outputs(self.cluster, given)})

    @property
    def _retained(self) -> bool | None:
        """Return True if the volume is retained, else None to inherit: False would override a retained component."""
        return self.settings.retain or None

    async def _push_path(self) -> PushPath:
        address = await self.cluster.address()
        if self._path is None:
            self._path = PushPath(address, os.environ, self._broken_store.config if self._broken_store else None)
        return self._path

    def _make_providers(self, name: str, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
        """Return the providers; create those that are missing outside of the component, so that they outlive it."""
        named, aliases = partial(own_name, name), partial(aliases_beside, name, opts)
        self._same = kube_context = same_cluster(named("cluster-uid"), self.cluster, self._uid, aliases("cluster-uid"))
        return pulumi.ResourceOptions(
            providers=[
                brought(opts, "kubernetes")
                or kubernetes_provider(named("cluster"), self.cluster, kube_context, aliases("cluster")),
                brought(opts, "docker") or docker_provider(named("builder"), self._broken_store, aliases("builder")),
            ]
        )

    def _images(self, name: str, images: Mapping[str, ImageArgs | None]) -> dict[str, Any]:
        """Create the images of this component and return their pull references."""
        opts = pulumi.ResourceOptions(parent=self)
        return {
            each: RegistryImage(f"{name}-{each}", args or {}, opts, registry=self, repository=each).reference
            for each, args in images.items()
        }

    def _share(self, name: str, args: SharedVolumeArgs | None) -> None:
        if args and self.settings.shared_volume and self.settings.component:  # else the program creates it itself
            from .shared_volume import SharedVolume  # noqa: PLC0415 - that file imports this one

            SharedVolume(name, args, pulumi.ResourceOptions(parent=self), registry=self)

    def _exposing(self, name: str, deployment: pulumi.Resource) -> list[pulumi.CustomResource]:
        """Create the objects through which pods and nodes reach the read door: the Services, and the node proxy.

        The node port is given up only once the node proxy serves every node, and Pulumi deletes the node proxy only
        once the node port is served: the order in which no pull fails (docs/adr/0038).
        """
        inside, parent = self._inside_namespace(), pulumi.ResourceOptions(parent=self)
        read = read_service(name, self.cluster, metadata_in(self._place, READ_SERVICE), inside)
        if (metrics := self.settings.metrics) and metrics.service_monitor:
            service_monitor(name, self.cluster, metrics, metadata_in(self._place), inside)
        if not self.settings.has_node_proxy:
            return [read, node_port_service(name, self.cluster, metadata_in(self._place), inside)]
        listeners = [Listener("registry", self.settings.node_port, address_of(read), READ_PORT)]
        proxy = NodeProxy(f"{name}-proxy", self.cluster, self._place, listeners, parent).daemon_set
        last = pulumi.ResourceOptions.merge(
            self._inside_namespace(deployment, proxy), ready_first(name, self._push_path)
        )
        return [read, proxy, node_port_service(name, self.cluster, metadata_in(self._place), last)]

    def _once_created(self) -> pulumi.Output[str]:
        """Return the namespace, known when all that a push needs is created."""
        names = (cast("Any", each).metadata.name for each in self.needed_to_push)
        return pulumi.Output.all(self._place, *names).apply(lambda known: str(known[0]))

    def _own_namespace(self, name: str) -> kubernetes.core.v1.Namespace:
        return kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                # All objects in the cluster depend on this name, regardless of their provider.
                "name": self._same.apply(lambda _: self.settings.namespace),
                "labels": {**labels("namespace"), **RESTRICTED},
                "annotations": {**FORCE, RETAINED: "true"} if self.settings.retain else FORCE,
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=namespace_guard(name, self.cluster, self.settings.namespace, self),
                retain_on_delete=self._retained,
                ignore_changes=NAMESPACE_STAYS,
            ),
        )

    def _deployment(self, name: str) -> kubernetes.apps.v1.Deployment:
        config = kubernetes.core.v1.ConfigMap(
            f"{name}-config",
            metadata=metadata_in(self._place),
            data=config_files(self.settings),
            opts=self._inside_namespace(),
        )
        fence = kubernetes.networking.v1.NetworkPolicy(
            f"{name}-fence",
            metadata=metadata_in(self._place),
            spec=read_door_only(self.settings.metrics),
            opts=self._inside_namespace(),
        )
        return kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata_in(self._place),
            spec=deployment_spec(self.settings),
            opts=self._inside_namespace(*self.storage.needs, config, fence),
        )

    def _hosting(self, name: str) -> kubernetes.core.v1.ConfigMap:
        """Advertise the registry to tools such as Tilt, in a ConfigMap that all users may read (KEP-1755).

        It contains the push address, for this machine while a tunnel is open, the pull host, for nodes, and the
        cluster host, from which pods read. Pods cannot push.
        """
        hosting = {
            "host": self.endpoints.push_address,
            "hostFromContainerRuntime": self.endpoints.pull_host,
            "hostFromClusterNetwork": self.endpoints.cluster_host,
            "help": HOSTING_HELP,
        }
        return kubernetes.core.v1.ConfigMap(
            f"{name}-hosting",
            metadata={"name": HOSTING, "namespace": HOSTING_NAMESPACE, "labels": labels("hosting")},
            # The value is YAML, and JSON is YAML.
            data={"localRegistryHosting.v1": self._place.apply(lambda _: json.dumps(hosting, indent=2))},
            opts=pulumi.ResourceOptions(parent=self, hooks=hosting_guard(name, self.cluster)),
        )

    def _inside_namespace(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[self._namespace, *needs])
