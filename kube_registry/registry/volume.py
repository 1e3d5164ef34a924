"""Whether the registry can write to its volume, and what keeps it from that.

The write door is asked for an upload, which is given up at once: its health check only looks at the folder. A registry
that cannot write answers 500 to every write, with the system's words in its answer's detail (distribution v3.1,
registry/handlers/blobupload.go and registry/storage/driver/filesystem), and reads go on. The Docker daemon shows none
of these words.
"""

import re
from typing import Any

from kube_registry.errors import ClusterError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import registry_pods
from kube_registry.lease.lease import lease_held
from kube_registry.limits import VOLUME_SECONDS
from kube_registry.names import PROBE_REPOSITORY as REPOSITORY
from kube_registry.names import REGISTRY
from kube_registry.registry.api import open_registry
from kube_registry.registry.errors import RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.registry.volume_facts import VolumeFacts, read_facts
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
            await registry.give_up_upload(await registry.begin_upload(REPOSITORY))
    except RegistryError as error:
        words = _DRIVER.search(error.reason)
        if any(full in error.reason for full in _FULL):
            raise VolumeFullError(where=kube.where, figures=await _figures(kube)) from error
        if words is None:
            raise
        facts = await read_facts(kube)
        raise VolumeNotWritableError(
            where=kube.where, reason=words[1], volume=facts.volume, user=facts.user, mend=_mend(kube, words[1], facts)
        ) from error


def _mend(kube: KubeClient, words: str, facts: VolumeFacts) -> str:
    """What makes a volume writable, by what the system says of it."""
    if any(said in words for said in _NOT_PERMITTED):
        return (
            f"{facts.chown}, then `pulumi up`. Kubernetes makes a volume writable for fsGroup only if its kind takes "
            "part: NFS, hostPath and some CSI drivers do not, so a storage class of another kind avoids this. Where "
            "the platform assigns the uid, as OpenShift does, set pod.user to platform"
        )
    if _READ_ONLY in words:
        return (
            f"`{kube.where.kubectl} get persistentvolume {facts.name} --output yaml` shows whether readOnly or the "
            f"mount option ro is set; if neither is, the kernel log of {facts.node} says why the file system is "
            "read-only; make it writable, then `pulumi up`"
        )
    return f"the kernel log of {facts.node} says more; when the volume works again, `pulumi up`"


async def _figures(kube: KubeClient) -> str:
    """What is used up, from whoever may be asked; a kubelet counts once a minute."""
    try:
        for pod in await registry_pods(kube):
            node = pod["spec"]["nodeName"]
            summary = await kube.get(f"/api/v1/nodes/{node}/proxy/stats/summary")
            if volume := _volume(summary, kube.where.namespace):
                return f"{_used(volume)} are used, as its node counted them at {volume['time']}"
    except ClusterError:
        pass  # to ask a node takes more rights than to push does
    try:
        claim = await kube.get(f"/api/v1/namespaces/{kube.where.namespace}/persistentvolumeclaims/{REGISTRY}")
    except ClusterError:
        return "its size is not told to who asks"
    return f"it has {claim['status']['capacity']['storage']}, how it is used is told to who may `get` `nodes/proxy`"


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
