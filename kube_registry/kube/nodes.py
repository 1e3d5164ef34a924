"""Read nodes: which of them pull images, and what identifies each."""

from collections.abc import Mapping
from dataclasses import dataclass

from kube_registry.kube.client import KubeClient
from kube_registry.kube.pods import Object, is_ready
from kube_registry.names import VIRTUAL_NODES


@dataclass(frozen=True)
class Node:
    """A node that pods are scheduled to.

    Args:
        name: its name.
        uid: its uid; a new node may reuse an old name, but not the uid.
        architecture: as in a platform: amd64, arm64.
        runtime: container runtime and its version.
        version: version of its kubelet.
        busy: why the node accepts no pods now; empty if it does.
    """

    name: str
    uid: str
    architecture: str
    runtime: str
    version: str
    busy: str = ""


_PASSING_TAINTS = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
    "karpenter.sh/",
    "ToBeDeletedByClusterAutoscaler",
)
_NOT_READY = "/agent-not-ready"
"""Prefixes, and a suffix, of the keys of transient taints: a node is starting, under pressure or about to be removed.
Network and storage drivers use the suffix: node.cilium.io, ebs.csi.aws.com."""


async def linux_nodes(kube: KubeClient, labels: Mapping[str, str] | None = None) -> list[Node]:
    """Return the Linux nodes that pull images, now or later, without virtual nodes.

    Args:
        kube: client of the cluster.
        labels: labels that the nodes must have.

    Raises:
        ForbiddenError: the permission to list nodes is missing.
    """
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else {}
    return [_node(item) for item in (await kube.get("/api/v1/nodes", **query))["items"] if _pulls(item)]


async def pulling_nodes(kube: KubeClient) -> list[Node]:
    """Return those of the Linux nodes that accept pods now.

    Raises:
        ForbiddenError: the permission to list nodes is missing.
    """
    return [node for node in await linux_nodes(kube) if not node.busy]


def _pulls(item: Object) -> bool:
    labels = item["metadata"].get("labels", {})
    virtual = any(labels.get(key) == value for key, value in VIRTUAL_NODES.items())
    return not virtual and bool(item["status"]["nodeInfo"]["operatingSystem"] == "linux")


def _busy(item: Object) -> str:
    """Return why a node accepts no pods now; empty if it does. Permanent taints do not count."""
    if item["spec"].get("unschedulable"):
        return "it is cordoned"
    for taint in item["spec"].get("taints", []):
        key = str(taint["key"])
        if taint["effect"] != "PreferNoSchedule" and (key.startswith(_PASSING_TAINTS) or key.endswith(_NOT_READY)):
            return f"it has the taint {key}"
    return "" if is_ready(item) else "it is not Ready"


def _node(item: Object) -> Node:
    info, metadata = item["status"]["nodeInfo"], item["metadata"]
    return Node(
        name=metadata["name"],
        uid=metadata["uid"],
        architecture=info["architecture"],
        runtime=info["containerRuntimeVersion"],
        version=info["kubeletVersion"],
        busy=_busy(item),
    )
