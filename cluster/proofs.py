"""What nodes have proven, remembered in the cluster: a small object in the registry's namespace, gone with it.

It is no part of Pulumi's state: another machine that pushes to the same registry finds it too.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from cluster.kube import KubeClient
from cluster.nodes import Node
from cluster.probe import PROBE
from stack.names import labels
from stack.settings import Settings

Proofs = Mapping[tuple[str, str], datetime]
"""uid and runtime of each node that has pulled -> when."""


def proof_key(node: Node) -> tuple[str, str]:
    """What a node's proof is kept by: one with another runtime has to prove it anew."""
    return node.uid, node.runtime


async def recall(kube: KubeClient, settings: Settings) -> Proofs:
    """The nodes that have pulled in the way that the settings describe."""
    found = await kube.find(f"/api/v1/namespaces/{kube.where.namespace}/configmaps/{PROBE}") or {}
    kept: dict[str, str] = found.get("data", {})
    nodes: list[list[str]] = json.loads(kept.pop("nodes", "[]"))
    if kept != _way(settings):
        return {}
    timed = [entry for entry in nodes if len(entry) == len(("uid", "runtime", "time"))]  # an older version kept no time
    return {(uid, runtime): datetime.fromisoformat(proven) for uid, runtime, proven in timed}


async def remember(kube: KubeClient, settings: Settings, proofs: Proofs) -> None:
    """Keep these proofs, and no others."""
    nodes = [[uid, runtime, proven.isoformat(timespec="seconds")] for (uid, runtime), proven in proofs.items()]
    await kube.apply(
        f"/api/v1/namespaces/{kube.where.namespace}/configmaps/{PROBE}",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PROBE, "labels": labels(PROBE)},
            "data": {**_way(settings), "nodes": json.dumps(nodes)},
        },
    )


def _way(settings: Settings) -> dict[str, str]:
    """What a proof is good for: a node that pulled through its node proxy has not shown that it can without."""
    return {"pullHost": settings.endpoints.pull_host, "nodeProxy": str(settings.node_proxy).lower()}
