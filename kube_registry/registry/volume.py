"""Check that the registry can write to its volume or bucket; if not, find out why and describe the volume.

An upload is started at the write door and cancelled at once, because the registry's health check only reads the folder.
A registry that cannot write answers every write with 500 and the operating system's message in the detail (distribution
v3.1, registry/handlers/blobupload.go and registry/storage/driver/filesystem), while reads work. The Docker daemon does
not show that message.
"""

import re
from contextlib import suppress
from typing import Any

from kube_registry.errors import ClusterError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import Object, registry_pods
from kube_registry.lease.lease import lease_held
from kube_registry.limits import VOLUME_SECONDS
from kube_registry.names import PROBE_REPOSITORY, REGISTRY
from kube_registry.registry.api import open_registry
from kube_registry.registry.bucket import bucket_named
from kube_registry.registry.errors import RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.tunnel.listener import open_tunnel

_FULL = ("no space left on device", "disk quota exceeded")
_NOT_PERMITTED = ("permission denied", "operation not permitted")
_READ_ONLY = "read-only file system"
_DRIVER = re.compile(r"filesystem: ([^\"]+)")
"""The prefix of the operating system's message in errors of distribution's filesystem driver, and only there."""


async def ask_write_door(kube: KubeClient) -> None:
    """Check that the registry can write to its storage, through a separate tunnel and with the lease.

    This does not wait for other holders: a lease that is not free at once is an error.

    Raises:
        VolumeFullError: the volume is full.
        VolumeNotWritableError: the volume is not writable.
        BucketError: the bucket cannot be used.
        RegistryError: the registry failed in another way, or did not respond.
        LeaseHeldError: another holder needs the registry exclusively.
        ClusterError: a permission is missing, or the write door cannot be reached.
    """
    async with (
        lease_held(kube, "a check of the storage", alone=False, say=lambda _: None, seconds=0) as lease,
        open_tunnel(kube, 0, lease, seconds=VOLUME_SECONDS) as tunnel,
    ):
        await prove_writable(kube, tunnel.address)


async def prove_writable(kube: KubeClient, push_address: str) -> None:
    """Check that an upload can be started; it is cancelled at once and leaves nothing behind.

    Args:
        kube: client of the registry's cluster.
        push_address: address of the open tunnel.

    Raises:
        VolumeFullError: the volume is full.
        VolumeNotWritableError: the volume is not writable.
        BucketError: the bucket cannot be used.
        RegistryError: the registry failed in another way, or did not respond.
    """
    try:
        async with bucket_named(kube), open_registry(push_address, kube.where) as registry:
            await registry.give_up_upload(await registry.begin_upload(PROBE_REPOSITORY))
    except RegistryError as error:
        words = _DRIVER.search(error.reason)
        if any(full in error.reason for full in _FULL):
            raise VolumeFullError(where=kube.where, figures=await _usage(kube)) from error
        if words is None:
            raise
        raise await _not_writable(kube, words[1]) from error


async def _not_writable(kube: KubeClient, reason: str) -> VolumeNotWritableError:
    """Return the error, with details from the claim, its volume and the registry's pod, if the user may read them."""
    pods, claim, volume = list[Object](), dict[str, Any](), dict[str, Any]()
    with suppress(ClusterError):
        pods = await registry_pods(kube)
        claim = await kube.get(kube.path("persistentvolumeclaims", REGISTRY))
        volume = await kube.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    pod, spec = pods[0]["spec"] if pods else {}, claim.get("spec", {})
    node = f"node {pod['nodeName']}" if "nodeName" in pod else "its node"
    name = spec.get("volumeName", "NAME")
    uid, gid = _ids(pod)
    kind, folder, place = _place(volume.get("spec", {}), node)
    storage_class = f"storage class {spec['storageClassName']}" if spec.get("storageClassName") else ""
    listed = (name if claim else f"the one of claim {REGISTRY}", storage_class, kind)
    chown = f"chown -R {'UID' if uid is None else uid}{'' if gid is None else f':{gid}'} {folder}"
    return VolumeNotWritableError(
        where=kube.where,
        reason=reason,
        volume=", ".join(filter(None, listed)),
        user=f"uid {uid}" if uid is not None else "the image's user",
        fix=_fix(reason, node, f"{kube.where.kubectl} get persistentvolume {name}", f"`{chown}` as root {place}"),
    )


def _fix(reason: str, node: str, get_volume: str, chown: str) -> str:
    """Return how to make a volume writable, chosen by the operating system's message."""
    if any(message in reason for message in _NOT_PERMITTED):
        return (
            f"{chown}, then `pulumi up`. NFS, hostPath and some CSI drivers do not support fsGroup; a storage class "
            "with another kind of volume avoids this. If the platform assigns the uid, as OpenShift does, set pod.user "
            "to platform"
        )
    if _READ_ONLY in reason:
        return (
            f"`{get_volume} --output yaml` shows whether readOnly or the mount option ro is set; if neither is, the "
            f"kernel log of {node} has the reason. Make the file system writable, then `pulumi up`"
        )
    return f"read the kernel log of {node}; when the volume works again, `pulumi up`"


async def _usage(kube: KubeClient) -> str:
    """Return the volume's usage, or its size, depending on the user's permissions; a kubelet counts once a minute."""
    with suppress(ClusterError):  # reading this from a node requires more permissions than a push
        for pod in await registry_pods(kube):
            node = pod["spec"]["nodeName"]
            summary = await kube.get(f"/api/v1/nodes/{node}/proxy/stats/summary")
            if volume := _volume_stats(summary, kube.where.namespace):
                return f"{_used_of(volume)} are used, as of {volume['time']}"
    with suppress(ClusterError):
        claim = await kube.get(kube.path("persistentvolumeclaims", REGISTRY))
        size = claim["status"]["capacity"]["storage"]
        return f"its size is {size}; its usage is unknown, because you lack the permission to `get` `nodes/proxy`"
    return "its size is unknown, because you lack the permission to read the claim"


def _used_of(volume: dict[str, Any]) -> str:
    """Return the usage in bytes, or in inodes if these have run out; some file systems do not count inodes."""
    if volume.get("inodes") and volume.get("inodesFree") == 0:
        return f"{volume['inodesUsed']} of {volume['inodes']} inodes (files and folders)"
    return f"{volume['usedBytes']} of {volume['capacityBytes']} bytes"


def _volume_stats(summary: dict[str, Any], namespace: str) -> dict[str, Any] | None:
    """Return the registry's volume in a kubelet's statistics.

    Source: kubernetes staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1.
    """
    volumes = (volume for pod in summary["pods"] for volume in pod.get("volume", []))
    claim = {"name": REGISTRY, "namespace": namespace}
    return next((volume for volume in volumes if volume.get("pvcRef") == claim), None)


def _ids(pod: Object) -> tuple[int | None, int | None]:
    """Return the uid of the write door, and the group that has to own the volume; None if the image decides."""
    shared = pod.get("securityContext", {})
    (own,) = [each.get("securityContext", {}) for each in pod.get("containers", []) if each["name"] == "write"] or [{}]
    uid = own.get("runAsUser", shared.get("runAsUser"))
    return uid, shared.get("fsGroup", own.get("runAsGroup", shared.get("runAsGroup")))


def _place(volume: Object, node: str) -> tuple[str, str, str]:
    """Return the kind of a volume, its folder, and its location (kubernetes core/v1 PersistentVolumeSource)."""
    if nfs := volume.get("nfs"):
        return f"NFS {nfs['server']}:{nfs['path']}", nfs["path"], f"on NFS server {nfs['server']}"
    for kind in ("hostPath", "local"):
        if source := volume.get(kind):
            return f"{kind} {source['path']}", source["path"], f"on {node}"
    if csi := volume.get("csi"):
        return f"CSI driver {csi['driver']}", "FOLDER", "where its files are stored"
    return "", "FOLDER", "where its files are stored"
