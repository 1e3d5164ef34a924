"""The preflight: proof that every node can pull, taken before anything is built.

A tiny image is pushed through the tunnel, and a pod on every node that is to be asked pulls it by the real pull
reference. What a node has proven is remembered (proofs.py), so that only new and changed nodes are asked again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_hex

from cluster.kube import KubeClient
from cluster.nodes import Node, proxy_mode, pulling_nodes
from cluster.pods import Object, warning
from cluster.polling import poll
from cluster.probe import (
    ARCHITECTURE,
    NO_ANSWER,
    NODE_PROXY,
    PROBE,
    PULLED,
    REFUSED,
    RUN,
    Verdict,
    probe_pod,
    refused,
    verdict,
)
from cluster.probe_image import REPOSITORY, TAG, store_probe
from cluster.proofs import Proofs, proof_key, recall, remember
from cluster.registry import open_registry
from stack.api_errors import ForbiddenError, RefusedError
from stack.names import selector
from stack.registry_errors import PreflightError
from stack.settings import Settings

PREFLIGHT_SECONDS = 60.0
"""How long all nodes may take together."""

VERDICT_SECONDS = 30.0
"""How long those may take that are asked at once; one takes a second."""

AT_ONCE = 50
"""Probe pods at a time."""

SETTLE_SECONDS = 8.0
"""How long a node that is refused is asked again: kube-proxy has a new Service on its nodes in a second or two."""

_SETTLE_PAUSE = 2.0

LEFT_SECONDS = 120.0
"""What is older than that was left by a run that was broken off."""

WORST = 10
"""How many nodes an answer names."""

_PAUSE = 0.2

Verdicts = dict[Node, Verdict]


async def prove_nodes(kube: KubeClient, settings: Settings, push_address: str, say: Callable[[str], None]) -> None:
    """Return once every node has proven that it can pull what is built for the build platform.

    Args:
        kube: client of the registry's cluster.
        settings: the stack.
        push_address: where the open tunnel listens.
        say: told of nodes of another architecture, if there are others that the images are for.

    Raises:
        PreflightError: some cannot, or all are of another architecture.
        ClusterError: they cannot be asked.
    """
    verdicts = await examine_nodes(kube, settings, push_address, afresh=False)
    others = [node.name for node, verdict in verdicts.items() if verdict is ARCHITECTURE]
    if 0 < len(others) < len(verdicts):
        say(f"images for {settings.platform} are not for {', '.join(sorted(others)[:WORST])} of {len(others)} nodes")
    failing = {node: verdict for node, verdict in verdicts.items() if verdict is not PULLED}
    if len(others) < len(verdicts):
        failing = {node: verdict for node, verdict in failing.items() if verdict is not ARCHITECTURE}
    if failing:
        raise await _preflight_error(kube, settings, failing, len(verdicts))


async def examine_nodes(kube: KubeClient, settings: Settings, push_address: str, *, afresh: bool) -> Verdicts:
    """What every node of the cluster that pulls says.

    Args:
        kube: client of the registry's cluster.
        settings: the stack.
        push_address: where the open tunnel listens.
        afresh: whether to ask those again that have proven it before.

    Raises:
        ClusterError: the nodes cannot be asked.
    """
    architecture = settings.platform.split("/")[1]
    nodes = await pulling_nodes(kube)
    proven: Proofs = {} if afresh else await recall(kube, settings)
    fitting = [node for node in nodes if node.architecture == architecture]
    verdicts = dict.fromkeys(nodes, ARCHITECTURE) | dict.fromkeys(fitting, PULLED)
    asked = [node for node in fitting if proof_key(node) not in proven]
    if asked:
        async with open_registry(push_address, kube.where) as registry:
            digest = await store_probe(registry, settings.platform)
        image = settings.endpoints.pull_reference(REPOSITORY, TAG, digest)
        await _delete(kube, await left_probes(kube))
        verdicts |= await _settled(kube, asked, image)
        fresh = dict.fromkeys((proof_key(node) for node in asked if verdicts[node] is PULLED), datetime.now(UTC))
        known = {proof_key(node) for node in fitting}  # a node that has gone is forgotten
        await remember(kube, settings, {key: proven[key] for key in proven.keys() & known} | fresh)
    return verdicts


async def _settled(kube: KubeClient, nodes: Sequence[Node], image: str) -> Verdicts:
    """Have nodes pull, those that are refused once more after a moment: kube-proxy may not know a new Service yet."""
    deadline = time.monotonic() + PREFLIGHT_SECONDS
    verdicts: Verdicts = {}

    async def settled() -> bool | None:
        refused = [node for node in nodes if verdicts.get(node, REFUSED).mend == NODE_PROXY]
        for first in range(0, len(refused), AT_ONCE):
            batch = refused[first : first + AT_ONCE]
            verdicts.update(await _ask(kube, batch, image, min(VERDICT_SECONDS, deadline - time.monotonic())))
        return all(verdict.mend != NODE_PROXY for verdict in verdicts.values()) or None

    await poll(settled, seconds=SETTLE_SECONDS, pause=_SETTLE_PAUSE)
    return verdicts


async def _ask(kube: KubeClient, nodes: Sequence[Node], image: str, seconds: float) -> Verdicts:
    """Have some nodes pull at once; the pods that do it are gone afterwards."""
    run = token_hex(4)
    by_name = {node.name: node for node in nodes}
    verdicts: Verdicts = {}

    async def all_told() -> bool | None:
        for pod in await _pods(kube, f"{RUN}={run}"):
            if told := verdict(pod):
                verdicts[by_name[pod["spec"]["nodeName"]]] = told
        return len(verdicts) == len(nodes) or None

    try:
        verdicts |= await _create(kube, {node: probe_pod(node.name, image, run) for node in nodes})
        if not await poll(all_told, seconds=seconds, pause=_PAUSE):
            for pod in await _pods(kube, f"{RUN}={run}"):
                node = by_name[pod["spec"]["nodeName"]]
                verdicts[node] = verdicts.get(node) or await _silence(kube, pod)
    finally:
        await _delete(kube, await _pods(kube, f"{RUN}={run}"))
    return dict.fromkeys(nodes, NO_ANSWER) | verdicts


async def _create(kube: KubeClient, pods: Mapping[Node, Object]) -> Verdicts:
    """Ask nodes; those that may not even be asked, and what that means.

    Raises:
        ForbiddenError: the right to make pods is missing; raised once all have been tried, so that none is missed.
    """
    path = f"/api/v1/namespaces/{kube.where.namespace}/pods"
    answers = await asyncio.gather(*(kube.create(path, pod) for pod in pods.values()), return_exceptions=True)
    verdicts: Verdicts = {}
    for node, answer in zip(pods, answers, strict=True):
        if isinstance(answer, RefusedError) and not isinstance(answer, ForbiddenError):
            verdicts[node] = refused(answer.reason)
        elif isinstance(answer, BaseException):
            raise answer
    return verdicts


async def _preflight_error(kube: KubeClient, settings: Settings, failing: Verdicts, nodes: int) -> PreflightError:
    """The table of the first nodes that cannot, and what mends most of them."""
    worst = sorted(failing, key=lambda node: node.name)[:WORST]
    modes = await asyncio.gather(*(proxy_mode(kube, node) for node in worst))
    told = zip(worst, modes, strict=True)
    mend, _ = Counter(verdict.mend for verdict in failing.values()).most_common(1)[0]
    return PreflightError(
        where=kube.where,
        pull_host=settings.endpoints.pull_host,
        rows=tuple((node.name, node.runtime, mode, failing[node].words) for node, mode in told),
        failing=len(failing),
        nodes=nodes,
        mend=mend,
    )


async def _silence(kube: KubeClient, pod: Object) -> Verdict:
    """What the events say of a pod whose container was never tried."""
    return replace(NO_ANSWER, words=await warning(kube, pod) or NO_ANSWER.words)


async def left_probes(kube: KubeClient) -> list[Object]:
    """The pods that an interrupted run has left; what is younger may belong to one that still goes on."""
    now = datetime.now(UTC)

    def is_left(pod: Object) -> bool:
        created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
        return (now - created).total_seconds() > LEFT_SECONDS

    return [pod for pod in await _pods(kube, selector(PROBE)) if is_left(pod)]


async def _pods(kube: KubeClient, labels: str) -> list[Object]:
    path = f"/api/v1/namespaces/{kube.where.namespace}/pods"
    return list((await kube.get(path, labelSelector=labels))["items"])


async def _delete(kube: KubeClient, pods: Sequence[Object]) -> None:
    path = f"/api/v1/namespaces/{kube.where.namespace}/pods"
    await asyncio.gather(*(kube.delete(f"{path}/{pod['metadata']['name']}") for pod in pods))
