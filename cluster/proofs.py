"""What nodes have proven, remembered in the cluster: a small object in the registry's namespace, gone with it.

It is no part of Pulumi's state: another machine that pushes to the same registry finds it too.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus

from cluster.kube import KubeClient
from cluster.nodes import Node
from cluster.probe import PROBE
from stack.errors import RefusedError
from stack.names import labels


async def recall(kube: KubeClient, pull_host: str) -> set[tuple[str, str]]:
    """(uid, runtime) of the nodes that have pulled from this pull host."""
    try:
        found = await kube.get(f"/api/v1/namespaces/{kube.where.namespace}/configmaps/{PROBE}")
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return set()
        raise
    kept: Mapping[str, str] = found.get("data", {})
    return set(map(tuple, json.loads(kept.get("nodes", "[]")))) if kept.get("pullHost") == pull_host else set()


async def remember(kube: KubeClient, pull_host: str, nodes: list[Node]) -> None:
    """Keep these nodes, and no others, as proven."""
    await kube.apply(
        f"/api/v1/namespaces/{kube.where.namespace}/configmaps/{PROBE}",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PROBE, "labels": labels(PROBE)},
            "data": {"pullHost": pull_host, "nodes": json.dumps([[node.uid, node.runtime] for node in nodes])},
        },
    )
