"""Settings of a shared volume: an NFS server in the cluster, whose volume any pod of any node can mount."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel

from kube_registry.spec.fields import Labels, Section, Text, setting, with_values
from kube_registry.spec.sections import LABEL, LABELS, QUANTITY

LOOPBACK: Final = "127.0.0.1"
"""Address that nodes mount from if the exposure is not clusterIP."""

SharedExposure = Literal["clusterIP", "nodeProxy", "nodePort"]

_Size = Annotated[Text, Field(pattern=QUANTITY)]
_Namespace = Annotated[Text, Field(pattern=LABEL)]


class SharedVolumeSettings(Section):
    """The settings of one shared volume."""

    claims: Annotated[dict[_Namespace, _Size], BeforeValidator(with_values)] = setting(
        "Namespaces that get a claim to the volume -> size that the claim shows; the namespaces must exist.",
        "a map of namespaces and quantities",
        "5Gi",
        path="claims.default",
        default={},
    )
    namespace: _Namespace | None = setting(
        "Namespace to create for the NFS server; the registry's, followed by -shared, if not set.",
        "at most 63 lower-case letters, digits and dashes",
        "kube-registry-shared",
        path="namespace",
        default=None,
    )
    size: _Size = setting(
        "Size of the volume behind the NFS server.",
        "a quantity of more than zero, such as 500Mi or 10Gi",
        "10Gi",
        path="size",
        default="10Gi",
    )
    storage_class: Text | None = setting(
        "Storage class of that volume, which must be ReadWriteOnce; the cluster's default if not set.",
        "the name of a storage class",
        "standard",
        path="storageClass",
        default=None,
    )
    exposure: SharedExposure = setting(
        "How nodes reach the NFS server: clusterIP, by its Service; nodeProxy, by a proxy on their loopback; nodePort, "
        "by a port that opens the server, which has no password, on all addresses of all nodes.",
        "clusterIP, nodeProxy or nodePort",
        "nodeProxy",
        path="exposure",
        default="clusterIP",
    )
    port: int = setting(
        "Port that nodes mount from on their loopback if exposure is nodeProxy or nodePort. nodePort opens it on all "
        "addresses of the nodes, and it must be in the cluster's node port range.",
        "a port number from 1024 to 65535",
        "32049",
        path="port",
        default=32049,
        ge=1024,
        le=65535,
    )
    mount: Literal["softerr", "hard"] = setting(
        "What a program gets while the NFS server does not respond: an error, the first one within a minute (softerr), "
        "or no answer until the server is back (hard).",
        "softerr or hard",
        "hard",
        path="mount",
        default="softerr",
    )
    csi: bool = setting(
        "Whether csi-driver-nfs mounts the volume, which must be installed on every node, instead of the kubelet.",
        "true or false",
        "true",
        path="csi",
        default=False,
    )
    user: int = setting(
        "User and group that own all files; every program that mounts the volume acts as this user.",
        "a number from 1 to 65533",
        "1000",
        path="user",
        default=65530,  # few systems assign this user, if allow_directory lets clients reach its files
        ge=1,
        le=65533,
    )
    allow_directory: bool = setting(
        "Whether the volume may be a directory of a larger file system, as hostPath and local-path volumes are; a pod "
        "that forges file handles then reaches that whole file system as the user.",
        "true or false",
        "true",
        path="allowDirectory",
        default=False,
    )
    node_selector: Annotated[Labels, BeforeValidator(with_values)] = setting(
        "Labels of the nodes that can mount the volume; all Linux nodes if not set.",
        LABELS,
        "nfs",
        path="nodeSelector.storage",
        default={},
    )

    @property
    def mount_options(self) -> list[str]:
        """Return the options of every mount (nfs(5)); docs/adr/0042-a-shared-volume.md explains each."""
        port = [] if self.exposure == "clusterIP" else [f"port={self.port}"]
        limit = ["timeo=100", "retrans=3"] if self.mount == "softerr" else []
        return ["nfsvers=4.1", "noresvport", "retry=0", self.mount, *limit, *port]

    @property
    def node_affinity(self) -> dict[str, Any] | None:
        """Return the field of a persistent volume that keeps pods with it on the nodes that can mount it."""
        if not self.node_selector:
            return None
        labels = [{"key": key, "operator": "In", "values": [value]} for key, value in self.node_selector.items()]
        return {"required": {"nodeSelectorTerms": [{"matchExpressions": labels}]}}


SHARED_KEYS: Final = ", ".join(map(to_camel, SharedVolumeSettings.model_fields))
"""The keys of the settings, for texts."""
