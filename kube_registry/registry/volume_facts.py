"""What Kubernetes knows of the registry's volume: its name and kind, its place, and the user that writes to it.

Only what the API server says; what may not be read is left out.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kube_registry.errors import ClusterError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import Object, registry_pods
from kube_registry.names import REGISTRY


@dataclass(frozen=True)
class VolumeFacts:
    """A volume, in words.

    Args:
        name: of the PersistentVolume; NAME where it may not be read.
        volume: which one it is, of which kind.
        user: who writes to it.
        chown: the command that lets that user write, and where it is run.
        node: the node that has mounted it.
    """

    name: str
    volume: str
    user: str
    chown: str
    node: str


async def read_facts(kube: KubeClient) -> VolumeFacts:
    """Read the claim, its volume and the registry's pod, each as far as it may be read."""
    pods, claim, volume = list[Object](), dict[str, Any](), dict[str, Any]()
    with suppress(ClusterError):
        pods = await registry_pods(kube)
        claim = await kube.get(f"/api/v1/namespaces/{kube.where.namespace}/persistentvolumeclaims/{REGISTRY}")
        volume = await kube.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    pod = pods[0]["spec"] if pods else {}
    node = f"node {pod['nodeName']}" if "nodeName" in pod else "its node"
    uid, gid = _ids(pod)
    name = claim.get("spec", {}).get("volumeName", "NAME")
    kind, folder, place = _place(volume.get("spec", {}), node)
    listed = [words for words in (name if claim else f"that of claim {REGISTRY}", _class(claim), kind) if words]
    return VolumeFacts(
        name=name,
        volume=", ".join(listed),
        user=f"uid {uid}" if uid is not None else "the image's user",
        chown=f"`chown -R {'UID' if uid is None else uid}{'' if gid is None else f':{gid}'} {folder}` as root {place}",
        node=node,
    )


def _class(claim: Object) -> str:
    name = claim.get("spec", {}).get("storageClassName")
    return f"storage class {name}" if name else ""


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
