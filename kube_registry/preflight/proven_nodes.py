"""What the preflight knows of nodes, remembered in the cluster: a small object in the registry's namespace.

It is no part of Pulumi's state: another machine that pushes to the same registry finds it too, and it is gone with the
namespace.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from kube_registry.foreign_json import read_json
from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node
from kube_registry.names import labels
from kube_registry.preflight.probe_pod import PROBE
from kube_registry.spec.settings import RegistrySettings

ProofKey = tuple[str, str]
"""uid and runtime of a node: one with another runtime has to prove it again."""


@dataclass(frozen=True)
class Unanswered:
    """A node that was asked and has neither pulled nor said that it cannot, such as one that is full.

    Args:
        asked: when.
        why: what kept it from answering, in words.
    """

    asked: datetime
    why: str


@dataclass(frozen=True)
class Records:
    """What is known of the nodes.

    Args:
        proven: the nodes that have pulled -> when.
        unanswered: those that gave the last preflight no answer.
    """

    proven: Mapping[ProofKey, datetime] = field(default_factory=dict)
    unanswered: Mapping[ProofKey, Unanswered] = field(default_factory=dict)


def proof_key(node: Node) -> ProofKey:
    """What a node's record is kept by."""
    return node.uid, node.runtime


async def recall(kube: KubeClient, settings: RegistrySettings) -> Records:
    """The records of nodes that were asked to pull in the way that the settings describe; none if they are odd."""
    found = await kube.find(kube.path("configmaps", PROBE)) or {}
    kept: dict[str, str] = dict(found.get("data", {}))
    nodes, unanswered = kept.pop("nodes", "[]"), kept.pop("unanswered", "[]")
    if kept != _way(settings):
        return Records()
    with suppress(ValueError, TypeError):  # edited by hand
        silent = read_json(unanswered)
        timed = [entry for entry in read_json(nodes) if len(entry) == len(("uid", "runtime", "time"))]
        return Records(  # an older version kept no time
            {(uid, runtime): datetime.fromisoformat(proven) for uid, runtime, proven in timed},
            {(uid, runtime): Unanswered(datetime.fromisoformat(asked), why) for uid, runtime, asked, why in silent},
        )
    return Records()


async def remember(kube: KubeClient, settings: RegistrySettings, records: Records) -> None:
    """Keep these records, and no others."""
    nodes = [[*key, proven.isoformat(timespec="seconds")] for key, proven in records.proven.items()]
    unanswered = [
        [*key, each.asked.isoformat(timespec="seconds"), each.why] for key, each in records.unanswered.items()
    ]
    await kube.apply(
        kube.path("configmaps", PROBE),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PROBE, "labels": labels(PROBE)},
            "data": {**_way(settings), "nodes": json.dumps(nodes), "unanswered": json.dumps(unanswered)},
        },
    )


def _way(settings: RegistrySettings) -> dict[str, str]:
    """What a proof is good for: a node that pulled through its node proxy has not shown that it can without."""
    return {"pullHost": settings.endpoints.pull_host, "nodeProxy": str(settings.has_node_proxy).lower()}
