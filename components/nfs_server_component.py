"""The NFS server of a shared volume, in a namespace of its own; nfs_server_pod.py defines its pod."""

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.names import (
    ARCHITECTURE,
    FORCE,
    NFS_PORT,
    NFS_REPOSITORY,
    NFS_SERVER,
    OF_REGISTRY,
    OURS,
    RETAINED,
    labels,
)
from kube_registry.spec.shared_volume import LOOPBACK, SharedVolumeSettings

from .cluster_registry import ClusterRegistry
from .guards import namespace_guard
from .nfs_server_pod import config_files, deployment_spec, ganesha_config, network_policy
from .node_proxy import PRIVILEGED, Listener, NodeProxy, address_of
from .registry_image import RegistryImage
from .volume_guard import CLAIM_STAYS, NAMESPACE_STAYS, asked, unmoved

_BUILD: Final = Path(__file__).with_name("nfs_server")
"""Build context of the server's image."""


class NfsServer(pulumi.ComponentResource):
    """An NFS server that exports a volume to every node.

    Args:
        name: its name in the stack.
        settings: the settings of the shared volume, with its namespace.
        registry: the registry of the cluster, which stores the server's image.
        opts: resource options, with the parent.
    """

    place: pulumi.Output[str]
    """Its namespace, known after the checks that the volume stays where it is, and that its claims may change."""
    address: pulumi.Input[str]
    """Address that nodes mount from."""
    folder: pulumi.Output[str]
    """Name under which nodes mount the volume, a secret: a pod that connects to the server needs it."""
    needed: tuple[pulumi.CustomResource, ...]
    """The objects that a mount needs."""

    def __init__(
        self, name: str, settings: SharedVolumeSettings, registry: ClusterRegistry, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("kube-registry:index:NfsServer", name, {}, opts)
        self._name, self._settings, self._registry = name, settings, registry.settings
        own = registry.settings.model_copy(update={"namespace": settings.namespace})
        self.cluster = replace(registry.cluster, settings=own, namespace_option="--path sharedVolume.namespace")
        self._parent = pulumi.ResourceOptions(parent=self)
        self._namespace = self._own_namespace()
        claim = self._claim()
        wanted = [
            ("sharedVolume.namespace", settings.namespace),
            ("sharedVolume.storageClass", settings.storage_class),
        ]
        place = unmoved(own, self._namespace, claim, wanted, "shared volume")
        self.place = place if pulumi.runtime.is_dry_run() else place.apply(self._unused)
        image = RegistryImage(
            f"{name}-image",
            registry=registry,
            repository=NFS_REPOSITORY,
            context=str(_BUILD),
            opts=self._parent,
        ).reference
        opts = pulumi.ResourceOptions(parent=self, ignore_changes=["input"])
        first = pulumi.Stash(f"{name}-folder", input=pulumi.Output.secret(secrets.token_hex(16)), opts=opts)
        self.folder = first.output  # it keeps the first value
        service = self._service()
        self.needed = (self._deployment(claim, image), service, *self._proxy(service))
        self.address = address_of(service) if settings.exposure == "clusterIP" else LOOPBACK
        self.register_outputs({"namespace": self.place})

    async def _unused(self, place: str) -> str:
        """Return the namespace; fail before anything changes that pods with a claim need."""
        from kube_registry.shared_volume.claims import prove_unused  # noqa: PLC0415 - slow, and no preview needs it

        async def prove() -> str:
            address = (await self.cluster.address()).model_copy(update={"namespace": place})
            await prove_unused(address, self._settings)
            return place

        return await asked(prove, place, live=True)

    def _own_namespace(self) -> kubernetes.core.v1.Namespace:
        guard = namespace_guard(self._name, self.cluster, str(self._settings.namespace), self)
        return kubernetes.core.v1.Namespace(
            f"{self._name}-namespace",
            metadata={
                "name": self._settings.namespace,
                "labels": {**labels("namespace"), **PRIVILEGED},
                "annotations": {**FORCE, **self._kept},
            },
            opts=self._retained(pulumi.ResourceOptions(hooks=guard, ignore_changes=NAMESPACE_STAYS)),
        )

    def _claim(self) -> kubernetes.core.v1.PersistentVolumeClaim:
        return kubernetes.core.v1.PersistentVolumeClaim(
            f"{self._name}-claim",
            metadata=self._metadata(self._namespace.metadata.name, **self._kept),
            spec={
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": self._settings.storage_class,
                "resources": {"requests": {"storage": self._settings.size}},
            },
            opts=self._retained(pulumi.ResourceOptions(depends_on=[self._namespace], ignore_changes=CLAIM_STAYS)),
        )

    def _deployment(self, claim: pulumi.Resource, image: pulumi.Output[str]) -> kubernetes.apps.v1.Deployment:
        server_config = ganesha_config(self._settings.user, str(self._settings.namespace))
        config = kubernetes.core.v1.ConfigMap(
            f"{self._name}-config",
            metadata=self._metadata(self.place),
            data=config_files(server_config),
            opts=self._after(),
        )
        fence = kubernetes.networking.v1.NetworkPolicy(
            f"{self._name}-fence", metadata=self._metadata(self.place), spec=network_policy(), opts=self._after()
        )
        spec = deployment_spec(
            image=image,
            folder=self.folder,
            user=self._settings.user,
            config=server_config,
            allow_directory=self._settings.allow_directory,
            pod=self._registry.pod.model_copy(update={"node_selector": self._nodes}),
        )
        return kubernetes.apps.v1.Deployment(
            f"{self._name}-deployment",
            metadata=self._metadata(self.place, **{OF_REGISTRY: self._registry.namespace}),
            spec=spec,
            opts=self._after(claim, config, fence),
        )

    def _service(self) -> kubernetes.core.v1.Service:
        """Return the Service of the server, which opens a port on the nodes only with the exposure nodePort."""
        opened = {"nodePort": self._settings.port} if self._settings.exposure == "nodePort" else {}
        return kubernetes.core.v1.Service(
            f"{self._name}-service",
            metadata=self._metadata(self.place),
            spec={
                "type": "NodePort" if opened else "ClusterIP",
                "selector": labels(NFS_SERVER),
                "ports": [{"name": "nfs", "port": NFS_PORT, "targetPort": "nfs", **opened}],
            },
            opts=self._after(),
        )

    def _proxy(self, service: kubernetes.core.v1.Service) -> list[pulumi.CustomResource]:
        if self._settings.exposure != "nodeProxy":
            return []
        listeners = [Listener("nfs", self._settings.port, address_of(service), NFS_PORT)]
        return [NodeProxy(f"{self._name}-proxy", self.cluster, self.place, listeners, self._parent).daemon_set]

    @property
    def _nodes(self) -> dict[str, str]:
        """The labels of the nodes that can run the server."""
        return {**self._registry.pod.node_selector, ARCHITECTURE: self._registry.architecture}

    @property
    def _kept(self) -> dict[str, str]:
        """The annotation of objects that a destroy keeps."""
        return {RETAINED: "true"} if self._registry.retain else {}

    def _retained(self, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
        kept = pulumi.ResourceOptions(parent=self, retain_on_delete=self._registry.retain or None)
        return pulumi.ResourceOptions.merge(kept, opts)

    def _after(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[self._namespace, *needs])

    @staticmethod
    def _metadata(namespace: pulumi.Input[str], **annotations: str) -> dict[str, Any]:
        return {
            "name": NFS_SERVER,
            "namespace": namespace,
            "labels": labels(NFS_SERVER),
            "annotations": {**OURS, **annotations},
        }
