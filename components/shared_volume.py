"""SharedVolume: a volume that pods of all nodes read and write, served by an NFS server in the cluster.

The NFS client is in the node's kernel and, like the container runtime, resolves no name of a Service: nodes mount from
the Service's cluster IP, or from their own loopback (docs/adr/0042). Every update checks that the server is ready, and
mounts the volume on every node that has not mounted it yet, before any claim is created.
"""

from typing import Any, Final, Unpack

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.errors import KubeRegistryError
from kube_registry.names import FORCE, OURS, SHARED_VOLUME, labels
from kube_registry.spec.settings import RegistrySettings
from kube_registry.spec.shared_volume import SharedVolumeSettings

from .args import SharedVolumeArgs
from .cluster_registry import ClusterRegistry
from .errors import as_run_error
from .guards import claim_guard
from .nfs_server_component import NfsServer
from .options import with_providers
from .push_hooks import bounded, row
from .registry_image import registry_of
from .settings import arguments, claim_name, prove_apart, volume_settings

_PROBE: Final = "probe"
"""Name of the claim of the probe pods, in the server's namespace."""

_DELETE: Final = pulumi.CustomTimeouts(delete="3m")
"""A claim is deleted only when no pod uses it (its finalizer kubernetes.io/pvc-protection); the default is 10 min."""


class SharedVolumeInputs(SharedVolumeArgs, total=False):
    """The settings of a shared volume, and its registry."""

    registry: ClusterRegistry
    """The registry that stores the image of the NFS server, in the cluster of the volume."""


class SharedVolume(pulumi.ComponentResource):
    """A volume that pods of all nodes of a registry's cluster read and write.

    Args:
        name: its name in the stack, and the name of its claims, there in lower case and with dashes for all characters
            that are not letters or digits.
        args: its arguments, which may also be passed by name.
        opts: resource options.

    Raises:
        pulumi.RunError: an argument is not allowed.
    """

    address: pulumi.Output[str]
    """Address that nodes mount from, known when every node has mounted the volume."""

    def __init__(
        self,
        name: str,
        args: SharedVolumeArgs = {},  # noqa: B006 - it is never changed
        opts: pulumi.ResourceOptions | None = None,
        **inputs: Unpack[SharedVolumeInputs],
    ) -> None:
        with as_run_error():
            given = arguments(SharedVolumeInputs, args, inputs)
            registry = registry_of("SharedVolume", name, given)
            self.settings = volume_settings(name, given, registry.settings)
            prove_apart(name, self.settings, registry.shared)
        super().__init__("kube-registry:index:SharedVolume", name, {}, with_providers(opts, registry.providers))
        registry.shared[name] = self.settings
        self._name, self._claim_name, self._registry = name, claim_name(name), registry.settings
        self._server = NfsServer(f"{name}-server", self.settings, registry, pulumi.ResourceOptions(parent=self))
        place, address = self._server.place, self._server.address
        probe = self._claim(f"{name}-{_PROBE}", _PROBE, place, "1Mi", address, parent=self._server)
        self.address = self._proven(self._server, probe, registry.settings)
        claims = {namespace: self.claim(namespace, size) for namespace, size in self.settings.claims.items()}
        self.outputs: dict[str, pulumi.Input[Any]] = {
            "namespace": self._server.place,
            "address": self.address,
            "claims": {namespace: claim.metadata.name for namespace, claim in claims.items()},
        }
        self.register_outputs(self.outputs)

    def claim(self, namespace: str, size: str) -> kubernetes.core.v1.PersistentVolumeClaim:
        """Return a claim by which the pods of a namespace mount the volume; all claims show the same files.

        Args:
            namespace: name of the namespace, which must exist.
            size: size that the claim shows, such as 5Gi. The files of all claims share the size of the volume. A later
                change is ignored, because the API server rejects it.

        Raises:
            pulumi.RunError: the namespace or the size is not allowed.
        """
        with as_run_error():
            own = {"namespace": self.settings.namespace, "claims": {namespace: size}}
            volume_settings(self._name, own, self._registry)
        return self._claim(f"{self._name}-{namespace}", self._claim_name, namespace, size, self.address, parent=self)

    def _claim(
        self,
        resource: str,
        claim: str,
        namespace: pulumi.Input[str],
        size: str,
        address: pulumi.Input[str],
        *,
        parent: pulumi.Resource,
    ) -> kubernetes.core.v1.PersistentVolumeClaim:
        """Create a claim with its persistent volume. Pulumi deletes both before the server."""
        name = pulumi.Output.concat(self._server.place, ".", namespace, ".", claim)  # no namespace contains a dot
        spec = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": claim},
            "mountOptions": self.settings.mount_options,
            **_source(self.settings, name, address, pulumi.Output.concat("/", self._server.folder)),
            "nodeAffinity": self.settings.node_affinity,
        }
        volume = self._volume(f"{resource}-volume", name, spec, parent)
        metadata = {"name": claim, "namespace": namespace, "labels": labels(SHARED_VOLUME), "annotations": FORCE}
        return kubernetes.core.v1.PersistentVolumeClaim(
            f"{resource}-claim",
            metadata=metadata,
            spec={
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": volume.metadata.name,
                "resources": {"requests": {"storage": size}},
            },
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=[volume],
                custom_timeouts=_DELETE,
                ignore_changes=["spec.resources"],
                hooks=claim_guard(resource, self._server.cluster),
            ),
        )

    def _volume(
        self, resource: str, name: pulumi.Output[str], spec: dict[str, Any], parent: pulumi.Resource
    ) -> kubernetes.core.v1.PersistentVolume:
        """Create a persistent volume. Pods would keep other mount options, and Kubernetes changes no node affinity."""
        depends: list[pulumi.Resource] = [*self._server.needed]
        return kubernetes.core.v1.PersistentVolume(
            resource,
            metadata={"name": name, "labels": labels(SHARED_VOLUME), "annotations": OURS},
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=depends,
                ignore_changes=["spec.capacity"],
                replace_on_changes=["spec.mountOptions", "spec.nodeAffinity"],
                delete_before_replace=True,
            ),
        )

    def _proven(
        self, server: NfsServer, claim: kubernetes.core.v1.PersistentVolumeClaim, registry: RegistrySettings
    ) -> pulumi.Output[str]:
        """Return the address of the server, known when every node has mounted the volume; in a preview at once."""

        async def prove(known: list[str]) -> str:
            from kube_registry.shared_volume.mounts import Share, prove_share  # noqa: PLC0415 - slow, and no preview needs it

            share = Share(self.settings, registry, known[0], _PROBE)
            try:
                async with bounded("waiting for the shared volume"):
                    await prove_share(await server.cluster.address(), share, row(self))
            except KubeRegistryError as error:
                raise pulumi.RunError(str(error)) from error
            return known[0]

        if pulumi.runtime.is_dry_run():
            return pulumi.Output.from_input(server.address)
        ids = [each.id for each in (claim, *server.needed)]
        address: pulumi.Output[str] = pulumi.Output.all(server.address, *ids).apply(prove)
        return address


def _source(
    settings: SharedVolumeSettings, name: pulumi.Input[str], address: pulumi.Input[str], path: pulumi.Input[str]
) -> dict[str, Any]:
    if settings.csi:
        attributes = {"server": address, "share": path}
        return {"csi": {"driver": "nfs.csi.k8s.io", "volumeHandle": name, "volumeAttributes": attributes}}
    return {"nfs": {"server": address, "path": path}}
