"""Test whether one node can mount a shared volume: the probe pod and its verdict; pure functions.

The pod is that of the preflight, with the volume. A kubelet mounts the volumes of a pod before it pulls the image, so a
node that has begun to pull has mounted. The messages are those of mount.nfs (nfs-utils) and of the kubelet.
"""

import re
from dataclasses import replace
from typing import Any

from kube_registry.kube.pods import STARTING, Object
from kube_registry.preflight.probe_pod import PROBE, Verdict, busy, probe_pod, verdict
from kube_registry.spec.shared_volume import SharedVolumeSettings

MOUNTED = Verdict("mounted", "")

_OTHER_WAY = "`pulumi config set --path sharedVolume.exposure nodeProxy`"
_NO_CLIENT = "install the NFS client on the node: the package nfs-common (Debian, Ubuntu) or nfs-utils (others)"
_NO_MODULE = (
    "load the kernel's NFS client on the node with `modprobe nfsv4`, from its kernel's package of further modules if "
    "it has none; or leave the node out with sharedVolume.nodeSelector"
)
_SEE = "correct the cause in the table; docs/shared-volume.md lists what a node needs"

_NO_DRIVER = Verdict(
    "csi-driver-nfs is not installed", "install csi-driver-nfs, or `pulumi config set --path sharedVolume.csi false`"
)
_NOT_REACHED = Verdict("it does not reach the server", _OTHER_WAY)

_KNOWN = (
    ("bad option; for several filesystems", Verdict("it has no NFS client: mount.nfs is missing", _NO_CLIENT)),
    ("unknown filesystem type", Verdict("its kernel has no NFS client", _NO_MODULE)),
    ("No such device", Verdict("its kernel has no NFS client", _NO_MODULE)),
    ("Protocol not supported", Verdict("its kernel has no NFS client of version 4.1", _NO_MODULE)),
    ("nfs.csi.k8s.io not found", _NO_DRIVER),
    # mount.nfs with retry=0 reports a refused connection as one that timed out (utils/mount/stropts.c, nfsmount_fg).
    ("Connection timed out", _NOT_REACHED),
    ("Connection refused", _NOT_REACHED),
    ("Network is unreachable", _NOT_REACHED),
    ("No route to host", _NOT_REACHED),
)
"""Part of a message about a failed mount -> its verdict, the more specific ones first."""


def mount_pod(image: str, claim: str, node: str, run: str) -> dict[str, Any]:
    """Return a pod that mounts a claim on one node.

    Args:
        image: pull reference of the preflight's image.
        claim: name of the claim, in the namespace of the pod.
        node: name of the node.
        run: label value of this test's pods.
    """
    pod = probe_pod(image, node, run)
    (container,) = pod["spec"]["containers"]
    container["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    pod["spec"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": claim}}]
    return pod


def mount_verdict(pod: Object) -> Verdict | None:
    """Return the verdict from a probe pod's status: MOUNTED, or why not; None while it is unknown.

    Whether the node can pull the image is another question, which the preflight answers.
    """
    for container in pod["status"].get("containerStatuses", []):
        waiting = container["state"].get("waiting")
        if container["name"] == PROBE and (not waiting or waiting.get("reason", STARTING[0]) not in STARTING):
            return MOUNTED
    return verdict(pod)


def late_verdict(settings: SharedVolumeSettings, warned: str | None) -> Verdict:
    """Return the verdict of a node whose pod has none in time.

    Args:
        settings: the shared volume.
        warned: the newest warning event about the pod; the kubelet warns of each attempt to mount that has failed.
    """
    if settings.csi and (warned is None or "FailedAttachVolume" in warned):
        return _NO_DRIVER  # an unknown driver might attach volumes, so the kubelet waits for minutes
    if warned and "FailedMount" not in warned:
        return busy(warned)
    unknown = Verdict(_without_folder(warned), _SEE) if warned else Verdict("no response", _OTHER_WAY)
    found = next((known for part, known in _KNOWN if part in (warned or "")), unknown)
    return replace(found, fix=_SEE) if settings.exposure == "nodeProxy" and found.fix == _OTHER_WAY else found


def _without_folder(warned: str) -> str:
    """Return what mount.nfs has said, without the secret name of the folder, which may be cut at its start."""
    return re.sub(r"[0-9a-f]{13,}", "…", warned.rpartition("Output: ")[2])
