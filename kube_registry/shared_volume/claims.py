"""The claims of a shared volume in use: do not replace one that a pod mounts, and bind one again that was deleted."""

from typing import Any

from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.pods import list_pods
from kube_registry.names import SHARED_VOLUME, selector
from kube_registry.preflight.node_tests import WORST
from kube_registry.preflight.node_window import delete
from kube_registry.preflight.probe_pod import PROBE
from kube_registry.shared_volume.errors import ClaimInUseError
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.shared_volume import LOOPBACK, SharedVolumeSettings
from kube_registry.text import first_of

_VOLUMES = "/api/v1/persistentvolumes"
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
_WITHOUT_CLAIM = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
_ENDED = ("Succeeded", "Failed")
"""Phases of pods that use no claim any more; one without a node uses none yet (pkg/controller/volume/pvcprotection)."""


async def prove_unused(address: ClusterAddress, settings: SharedVolumeSettings) -> None:
    """Check that no pod uses a claim that the update would replace, because its persistent volume cannot be changed.

    Kubernetes deletes a claim only once no pod uses it. Until then no new pod can use it, and nothing undoes this.

    Args:
        address: the cluster, with the namespace of the NFS server.
        settings: the new settings.

    Raises:
        ClaimInUseError: a pod uses one.
        ClusterError: the cluster does not respond, or a permission is missing.
    """
    async with open_client(address) as kube:
        volumes = (await kube.get(_VOLUMES, labelSelector=selector(SHARED_VOLUME)))["items"]
        ours = [each for each in volumes if each["metadata"]["name"].startswith(f"{kube.where.namespace}.")]
        replaced = [each["spec"]["claimRef"] for each in ours if _is_replaced(each["spec"], settings)]
        if replaced:
            await delete(kube, await list_pods(kube, selector(PROBE)))  # of an interrupted update
        for claim in replaced:
            await _prove_claim_unused(kube, claim)


async def bind_again(address: ClusterAddress, name: str) -> None:
    """Let a new claim have the persistent volume of a deleted one, whose uid it still contains.

    Args:
        address: the cluster.
        name: name of the persistent volume.

    Raises:
        ClusterError: the cluster does not respond, or a permission is missing.
    """
    async with open_client(address) as kube:
        volume = await kube.find(f"{_VOLUMES}/{name}")
        if volume and volume["status"].get("phase") == "Released":
            await kube.send(bytes, "PATCH", f"{_VOLUMES}/{name}", headers=_MERGE_PATCH, body=_WITHOUT_CLAIM)


def _is_replaced(spec: dict[str, Any], settings: SharedVolumeSettings) -> bool:
    """Return whether a persistent volume has other values than the settings."""
    source = spec.get("csi", {}).get("volumeAttributes") if settings.csi else spec.get("nfs")
    return (
        source is None
        or (source["server"] == LOOPBACK) == (settings.exposure == "clusterIP")
        or spec.get("mountOptions") != settings.mount_options
        or spec.get("nodeAffinity") != settings.node_affinity
    )


async def _prove_claim_unused(kube: KubeClient, claim: dict[str, Any]) -> None:
    pods = (await kube.get(kube.path("pods", namespace=claim["namespace"])))["items"]
    users = sorted(pod["metadata"]["name"] for pod in pods if _uses(pod, claim["name"]))
    if users:
        pods = first_of(users, WORST)
        raise ClaimInUseError(where=kube.where, claim=claim["name"], its_namespace=claim["namespace"], pods=pods)


def _uses(pod: dict[str, Any], claim: str) -> bool:
    """Return whether a pod uses a claim and stays; Kubernetes itself waits for one that is being deleted."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    claims = [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["spec"].get("volumes", [])]
    return claim in claims and "nodeName" in pod["spec"] and pod["status"].get("phase") not in _ENDED
