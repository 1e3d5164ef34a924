"""Room on the registry's volume: whether anything can be written there still, and how much of it is used.

A registry whose volume is full answers 500 to every write, with the system's words in its answer's detail
(distribution v3.1, registry/handlers/blobupload.go), and reads go on. The Docker daemon shows none of these words.
"""

from typing import Any

from cluster.kube import KubeClient
from cluster.pods import registry_pods
from cluster.probe_image import REPOSITORY
from cluster.registry import open_registry
from stack.errors import ClusterError
from stack.names import REGISTRY
from stack.registry_errors import RegistryError, VolumeFullError

_FULL = ("no space left on device", "disk quota exceeded")


async def prove_room(kube: KubeClient, push_address: str) -> None:
    """Return once an upload could be begun; it is given up at once and leaves nothing.

    Args:
        kube: client of the registry's cluster.
        push_address: where the open tunnel listens.

    Raises:
        VolumeFullError: the registry says that there is no room.
        RegistryError: it says something else, or nothing.
    """
    try:
        async with open_registry(push_address, kube.where) as registry:
            await registry.give_up_upload(await registry.begin_upload(REPOSITORY))
    except RegistryError as error:
        if any(words in error.reason for words in _FULL):
            raise VolumeFullError(where=kube.where, figures=await _figures(kube)) from error
        raise


async def _figures(kube: KubeClient) -> str:
    """Used bytes and size, from whoever may be asked; a kubelet counts once a minute."""
    try:
        for pod in await registry_pods(kube):
            node = pod["spec"]["nodeName"]
            summary = await kube.get(f"/api/v1/nodes/{node}/proxy/stats/summary")
            if volume := _volume(summary, kube.where.namespace):
                used, size = volume["usedBytes"], volume["capacityBytes"]
                return f"{used} of {size} bytes are used, as its node counted them at {volume['time']}"
    except ClusterError:
        pass  # to ask a node takes more rights than to push does
    try:
        claim = await kube.get(f"/api/v1/namespaces/{kube.where.namespace}/persistentvolumeclaims/{REGISTRY}")
    except ClusterError:
        return "its size is not told to who asks"
    return f"it has {claim['status']['capacity']['storage']}, how it is used is told to who may `get` `nodes/proxy`"


def _volume(summary: dict[str, Any], namespace: str) -> dict[str, Any] | None:
    """The registry's volume in what a kubelet tells (kubernetes staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1)."""
    volumes = (volume for pod in summary["pods"] for volume in pod.get("volume", []))
    claim = {"name": REGISTRY, "namespace": namespace}
    return next((volume for volume in volumes if volume.get("pvcRef") == claim), None)
