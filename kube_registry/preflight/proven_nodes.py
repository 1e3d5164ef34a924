"""Store the results of tests of nodes in the cluster, as a ConfigMap in the namespace of what was tested.

It is not part of Pulumi's state: other machines that push to the same registry use it too, and it is deleted with the
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

Conditions = Mapping[str, str]
"""What the results depend on, such as the pull host; results under other conditions do not count."""

ProofKey = tuple[str, str]
"""uid and runtime of a node: a node with a new runtime is tested again."""


@dataclass(frozen=True)
class Unanswered:
    """The test of a node without a result, for example because the node is full.

    Args:
        asked: time of the test.
        why: why there is no result.
    """

    asked: datetime
    why: str


@dataclass(frozen=True)
class Records:
    """The stored results.

    Args:
        proven: nodes that have pulled -> time of the pull.
        unanswered: nodes without a result in the last preflight.
    """

    proven: Mapping[ProofKey, datetime] = field(default_factory=dict)
    unanswered: Mapping[ProofKey, Unanswered] = field(default_factory=dict)


def proof_key(node: Node) -> ProofKey:
    """Return the key of a node's record."""
    return node.uid, node.runtime


async def recall(kube: KubeClient, conditions: Conditions | None = None) -> Records:
    """Read the records for some conditions, or for any; empty if they cannot be parsed."""
    found = await kube.find(kube.path("configmaps", PROBE)) or {}
    kept: dict[str, str] = dict(found.get("data", {}))
    nodes, unanswered = kept.pop("nodes", "[]"), kept.pop("unanswered", "[]")
    if conditions is not None and kept != conditions:
        return Records()
    with suppress(ValueError, TypeError):  # edited by hand
        silent = read_json(unanswered)
        timed = [entry for entry in read_json(nodes) if len(entry) == len(("uid", "runtime", "time"))]
        return Records(  # an older version kept no time
            {(uid, runtime): datetime.fromisoformat(proven) for uid, runtime, proven in timed},
            {(uid, runtime): Unanswered(datetime.fromisoformat(asked), why) for uid, runtime, asked, why in silent},
        )
    return Records()


async def remember(kube: KubeClient, conditions: Conditions, records: Records) -> None:
    """Replace the stored records."""
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
            "data": {**conditions, "nodes": json.dumps(nodes), "unanswered": json.dumps(unanswered)},
        },
    )
