"""Test nodes whose result is not stored yet, and store the new results."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.kube.pods import Object, list_pods
from kube_registry.names import selector
from kube_registry.preflight.node_window import Verdicts, delete
from kube_registry.preflight.probe_pod import LEFT, PROBE, Verdict, busy
from kube_registry.preflight.proven_nodes import Conditions, Records, Unanswered, proof_key, recall, remember
from kube_registry.text import first_of

LEFT_SECONDS = 120.0
"""Older probe pods were left by an interrupted run."""

WORST = 10
"""Maximum number of nodes that a message names."""


async def examine(
    kube: KubeClient,
    nodes: Sequence[Node],
    conditions: Conditions,
    passed: Verdict,
    test: Callable[[Sequence[Node]], Awaitable[Verdicts]],
    *,
    afresh: bool,
) -> Verdicts:
    """Return the verdict of every node; only nodes without a stored success are tested.

    Args:
        kube: client, with the namespace of the probe pods and of the results.
        nodes: the nodes.
        conditions: what the results depend on.
        passed: the verdict of a node with a stored success.
        test: tests some nodes.
        afresh: whether to test nodes again that have passed before.

    Raises:
        ClusterError: the nodes cannot be tested.
    """
    records = await recall(kube, conditions)
    unproven = [node for node in nodes if afresh or proof_key(node) not in records.proven]
    verdicts = dict.fromkeys(nodes, passed) | {node: busy(node.busy) for node in unproven if node.busy}
    if to_test := [node for node in unproven if not node.busy]:
        await delete_left_probes(kube)
        answers = await _still(kube, await test(to_test))
        await remember(kube, conditions, _updated(records, nodes, answers))
        verdicts |= answers
    return verdicts


def worst_of(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that a message names: the first ones by name."""
    return sorted(nodes, key=lambda node: node.name)[:WORST]


def say_later(verdicts: Verdicts, when: str, say: Callable[[str], None]) -> None:
    """Print a line that names the nodes that cannot be tested now, if there are any.

    Args:
        verdicts: the verdicts of all nodes.
        when: what tests them.
        say: prints the line.
    """
    if later := sorted(f"{node.name} ({verdict.words})" for node, verdict in verdicts.items() if verdict.later):
        named = first_of(later, WORST)
        say(f"{len(later)} of {len(verdicts)} nodes cannot be tested now: {named}. {when} tests them")


async def delete_left_probes(kube: KubeClient) -> None:
    """Delete the probe pods that an interrupted run has left."""
    await delete(kube, await left_probes(kube))


async def left_probes(kube: KubeClient) -> list[Object]:
    """Return the probe pods that an interrupted run has left; younger ones may belong to a run in progress."""
    latest = datetime.now(UTC) - timedelta(seconds=LEFT_SECONDS)
    probes = await list_pods(kube, selector(PROBE))
    return [pod for pod in probes if datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) < latest]


def _updated(records: Records, nodes: Sequence[Node], answers: Verdicts) -> Records:
    """Return the records with these verdicts: without removed nodes, and without proofs of nodes that have failed."""
    now = datetime.now(UTC)
    fresh = {proof_key(node): now for node, verdict in answers.items() if verdict.passed}
    disproved = {proof_key(node) for node, verdict in answers.items() if not (verdict.passed or verdict.later)}
    known = {proof_key(node) for node in nodes} - disproved
    proven = {key: time for key, time in records.proven.items() if key in known} | fresh
    silent = {proof_key(node): Unanswered(now, verdict.words) for node, verdict in answers.items() if verdict.later}
    return Records(proven, silent)


async def _still(kube: KubeClient, verdicts: Verdicts) -> Verdicts:
    """Update the verdicts of nodes that have failed: a node that was removed or became busy is no failure."""
    if all(verdict.passed for verdict in verdicts.values()):
        return verdicts
    now = {node.uid: node for node in await linux_nodes(kube)}
    changed = {node: LEFT for node in verdicts if node.uid not in now}
    changed |= {node: busy(now[node.uid].busy) for node in verdicts if node.uid in now and now[node.uid].busy}
    return {node: each if each.passed else changed.get(node, each) for node, each in verdicts.items()}
