"""What nodes have proven, remembered in the cluster: a small object in the registry's namespace, gone with it.

It is no part of Pulumi's state: another machine that pushes to the same registry finds it too.
"""

import json

from cluster.kube import KubeClient
from cluster.nodes import Node
from cluster.probe import PROBE
from stack.names import labels
from stack.settings import Settings


async def recall(kube: KubeClient, settings: Settings) -> set[tuple[str, str]]:
    """(uid, runtime) of the nodes that have pulled in the way that the settings describe."""
    found = await kube.find(f"/api/v1/namespaces/{kube.where.namespace}/configmaps/{PROBE}") or {}
    kept: dict[str, str] = found.get("data", {})
    nodes: list[list[str]] = json.loads(kept.pop("nodes", "[]"))
    return {(uid, runtime) for uid, runtime in nodes} if kept == _way(settings) else set()


async def remember(kube: KubeClient, settings: Settings, nodes: list[Node]) -> None:
    """Keep these nodes, and no others, as proven."""
    await kube.apply(
        f"/api/v1/namespaces/{kube.where.namespace}/configmaps/{PROBE}",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PROBE, "labels": labels(PROBE)},
            "data": {**_way(settings), "nodes": json.dumps([[node.uid, node.runtime] for node in nodes])},
        },
    )


def _way(settings: Settings) -> dict[str, str]:
    """What a proof is good for: a node that pulled through its node proxy has not shown that it can without."""
    return {"pullHost": settings.endpoints.pull_host, "nodeProxy": str(settings.node_proxy).lower()}
