"""Whether the registry can write to its volume, what keeps it from that, and what Kubernetes knows of that volume.

The write door is asked for an upload, which is given up at once: its health check only looks at the folder. A registry
that cannot write answers 500 to every write, with the system's words in its answer's detail (distribution v3.1,
registry/handlers/blobupload.go and registry/storage/driver/filesystem), and reads go on. The Docker daemon shows none
of these words.
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
from kube_registry.registry.errors import RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.tunnel.listener import open_tunnel

_FULL = ("no space left on device", "disk quota exceeded")
_NOT_PERMITTED = ("permission denied", "operation not permitted")
_READ_ONLY = "read-only file system"
_DRIVER = re.compile(r"filesystem: ([^\"]+)")
"""What distribution's filesystem driver puts before the system's words; no other part of it says so."""


async def ask_write_door(kube: KubeClient) -> None:
    """Return once the registry has written to its volume, through a tunnel of its own and under the lease.

    Nobody is waited for: a lease that is not free at once is an error.

    Raises:
        VolumeFullError: there is no room.
        VolumeNotWritableError: the volume cannot be written.
        RegistryError: the registry says something else, or nothing.
        LeaseHeldError: it cannot be asked now.
        ClusterError: a right is missing, or the write door is not reached.
    """
    async with (
        lease_held(kube, "a look at the volume", alone=False, say=lambda _: None, seconds=0) as lease,
        open_tunnel(kube, 0, lease, seconds=VOLUME_SECONDS) as tunnel,
    ):
        await prove_writable(kube, tunnel.address)


async def prove_writable(kube: KubeClient, push_address: str) -> None:
    """Return once an upload could be begun; it is given up at once and leaves nothing.

    Args:
        kube: client of the registry's cluster.
        push_address: where the open tunnel listens.

    Raises:
        VolumeFullError: there is no room.
        VolumeNotWritableError: the volume cannot be written.
        RegistryError: the registry says something else, or nothing.
    """
    try:
        async with open_registry(push_address, kube.where) as registry:
            await registry.give_up_upload(await registry.begin_upload(PROBE_REPOSITORY))
    except RegistryError as error:
        words = _DRIVER.search(error.reason)
        if any(full in error.reason for full in _FULL):
            raise VolumeFullError(where=kube.where, figures=await _figures(kube)) from error
        if words is None:
            raise
        raise await _not_writable(kube, words[1]) from error


async def _not_writable(kube: KubeClient, reason: str) -> VolumeNotWritableError:
    """Read the claim, its volume and the registry's pod, each as far as it may be read, for what the error names."""
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
    listed = (name if claim else f"that of claim {REGISTRY}", storage_class, kind)
    chown = f"chown -R {'UID' if uid is None else uid}{'' if gid is None else f':{gid}'} {folder}"
    return VolumeNotWritableError(
        where=kube.where,
        reason=reason,
        volume=", ".join(filter(None, listed)),
        user=f"uid {uid}" if uid is not None else "the image's user",
        fix=_fix(reason, node, f"{kube.where.kubectl} get persistentvolume {name}", f"`{chown}` as root {place}"),
    )


def _fix(reason: str, node: str, get_volume: str, chown: str) -> str:
    """What makes a volume writable, by what the system says of it."""
    if any(said in reason for said in _NOT_PERMITTED):
        return (
            f"{chown}, then `pulumi up`. Kubernetes makes a volume writable for fsGroup only if its kind takes "
            "part: NFS, hostPath and some CSI drivers do not, so a storage class of another kind avoids this. Where "
            "the platform assigns the uid, as OpenShift does, set pod.user to platform"
        )
    if _READ_ONLY in reason:
        return (
            f"`{get_volume} --output yaml` shows whether readOnly or the mount option ro is set; if neither is, the "
            f"kernel log of {node} says why the file system is read-only; make it writable, then `pulumi up`"
        )
    return f"the kernel log of {node} says more; when the volume works again, `pulumi up`"


async def _figures(kube: KubeClient) -> str:
    """What is used up, from whoever may be asked; a kubelet counts once a minute."""
    with suppress(ClusterError):  # to ask a node takes more rights than to push does
        for pod in await registry_pods(kube):
            node = pod["spec"]["nodeName"]
            summary = await kube.get(f"/api/v1/nodes/{node}/proxy/stats/summary")
            if volume := _volume(summary, kube.where.namespace):
                return f"{_used(volume)} are used, as its node counted them at {volume['time']}"
    with suppress(ClusterError):
        claim = await kube.get(kube.path("persistentvolumeclaims", REGISTRY))
        return f"it has {claim['status']['capacity']['storage']}, how it is used is told to who may `get` `nodes/proxy`"
    return "its size is not told to who asks"


def _used(volume: dict[str, Any]) -> str:
    """Bytes, or inodes where these are what has run out; some file systems have no inodes to count."""
    if volume.get("inodes") and volume.get("inodesFree") == 0:
        return f"{volume['inodesUsed']} of {volume['inodes']} inodes (files and folders)"
    return f"{volume['usedBytes']} of {volume['capacityBytes']} bytes"


def _volume(summary: dict[str, Any], namespace: str) -> dict[str, Any] | None:
    """The registry's volume in what a kubelet tells (kubernetes staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1)."""
    volumes = (volume for pod in summary["pods"] for volume in pod.get("volume", []))
    claim = {"name": REGISTRY, "namespace": namespace}
    return next((volume for volume in volumes if volume.get("pvcRef") == claim), None)


def _ids(pod: Object) -> tuple[int | None, int | None]:
    """The uid of the write door, and the group that is to own the volume; None where the image decides."""
    shared = pod.get("securityContext", {})
    (own,) = [each.get("securityContext", {}) for each in pod.get("containers", []) if each["name"] == "write"] or [{}]
    uid = own.get("runAsUser", shared.get("runAsUser"))
    return uid, shared.get("fsGroup", own.get("runAsGroup", shared.get("runAsGroup")))


def _place(volume: Object, node: str) -> tuple[str, str, str]:
    """The kind of a volume, its folder, and where that is (kubernetes core/v1 PersistentVolumeSource)."""
    if nfs := volume.get("nfs"):
        return f"NFS {nfs['server']}:{nfs['path']}", nfs["path"], f"on NFS server {nfs['server']}"
    for kind in ("hostPath", "local"):
        if source := volume.get(kind):
            return f"{kind} {source['path']}", source["path"], f"on {node}"
    if csi := volume.get("csi"):
        return f"CSI driver {csi['driver']}", "FOLDER", "where its files are kept"
    return "", "FOLDER", "where its files are kept"
