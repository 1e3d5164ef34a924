"""Nodes read: which of them pull images, and what tells one from another."""

from dataclasses import dataclass

from cluster.kube import KubeClient
from cluster.pods import Object, is_ready
from stack.errors import ClusterError
from stack.names import VIRTUAL_NODES

_PROXY_METRICS_PORT = 10249
"""Where kube-proxy tells its mode (kubernetes cmd/kube-proxy/app/server.go), if it listens for more than itself."""


@dataclass(frozen=True)
class Node:
    """A node that pods are scheduled to.

    Args:
        name: its name.
        uid: another one is another node, though it has the same name.
        architecture: as in a platform: amd64, arm64.
        runtime: container runtime and its version.
    """

    name: str
    uid: str
    architecture: str
    runtime: str


async def pulling_nodes(kube: KubeClient) -> list[Node]:
    """The nodes that pull what is scheduled to them: no virtual ones, no Windows, none that is cordoned or not Ready.

    Raises:
        ForbiddenError: nodes may not be listed.
    """
    listed = (await kube.get("/api/v1/nodes"))["items"]
    return [_node(item) for item in listed if _pulls(item)]


async def proxy_mode(kube: KubeClient, node: Node) -> str:
    """Mode of the node's kube-proxy, or "?" where it does not tell: by default it tells its own node only."""
    try:
        return await kube.text(f"/api/v1/nodes/{node.name}:{_PROXY_METRICS_PORT}/proxy/proxyMode")
    except ClusterError:
        return "?"


def _pulls(item: Object) -> bool:
    labels = item["metadata"].get("labels", {})
    virtual = any(labels.get(key) == value for key, value in VIRTUAL_NODES.items())
    linux = item["status"]["nodeInfo"]["operatingSystem"] == "linux"
    return is_ready(item) and linux and not virtual and not item["spec"].get("unschedulable")


def _node(item: Object) -> Node:
    info = item["status"]["nodeInfo"]
    metadata = item["metadata"]
    return Node(metadata["name"], metadata["uid"], info["architecture"], info["containerRuntimeVersion"])
