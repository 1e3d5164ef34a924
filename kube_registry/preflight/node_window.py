"""Many nodes asked at a time: as soon as one has answered, or was silent for too long, the next has its turn."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from secrets import token_hex

from kube_registry.concurrency import poll
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import ForbiddenError, RefusedError
from kube_registry.kube.nodes import Node
from kube_registry.kube.pods import Object, list_pods, warning
from kube_registry.preflight.probe_pod import LEFT, RUN, Verdict, busy, probe_pod, refused, verdict

AT_ONCE = 100
"""Probe pods at a time."""

VERDICT_SECONDS = 30.0
"""How long one node may take; most take a second."""

_PAUSE = 0.2

_NOT_ASKED = busy("no time was left to ask it")

Verdicts = dict[Node, Verdict]


async def ask(kube: KubeClient, nodes: Sequence[Node], image: str, ends: float, *, fixed_user: bool = True) -> Verdicts:
    """Have nodes pull an image; the pods that do it are gone afterwards.

    Args:
        kube: client of the registry's cluster.
        nodes: all that are asked.
        image: the pull reference.
        ends: when all have to be done, by time.monotonic().
        fixed_user: whether the pods name their user.

    Raises:
        ForbiddenError: the right to make, list or delete pods is missing.
        ClusterError: the API server does not answer.
    """
    window = _Window(kube.until(ends), image, fixed_user, token_hex(4), deque(nodes))
    try:
        await poll(window.slide, seconds=ends - time.monotonic(), pause=_PAUSE)
        for pod in await list_pods(kube, f"{RUN}={window.run}"):
            if node := window.asked.pop(pod["spec"]["nodeName"], None):
                window.verdicts[node[0]] = await _silence(kube, pod)
    finally:
        await delete(kube, await list_pods(kube, f"{RUN}={window.run}"))
    return dict.fromkeys(nodes, _NOT_ASKED) | window.verdicts


@dataclass
class _Window:
    """The nodes whose turn it is, and those before and after them.

    Args:
        kube: client of the registry's cluster.
        image: the pull reference.
        fixed_user: whether the pods name their user.
        run: tells these pods from others.
        waiting: the nodes that have not had their turn.
        asked: name of each node whose turn it is -> the node, and since when.
        verdicts: what the others have said.
    """

    kube: KubeClient
    image: str
    fixed_user: bool
    run: str
    waiting: deque[Node]
    asked: dict[str, tuple[Node, float]] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=dict)

    async def slide(self) -> bool | None:
        """Give nodes their turn and take answers; None while there are others."""
        await self._fill()
        await self._look()
        return not (self.waiting or self.asked) or None

    async def _fill(self) -> None:
        """Make the pods of the next nodes.

        Raises:
            ForbiddenError: the right is missing; raised once all were tried, so that no pod is overlooked.
        """
        turn = [self.waiting.popleft() for _ in range(min(len(self.waiting), AT_ONCE - len(self.asked)))]
        pods = [probe_pod(node.name, self.image, self.run, fixed_user=self.fixed_user) for node in turn]
        # Of one name, so it is one pod, however often it is sent.
        creates = (self.kube.create(self.kube.path("pods"), pod, repeatable=True) for pod in pods)
        answers = await asyncio.gather(*creates, return_exceptions=True)
        for node, answer in zip(turn, answers, strict=True):
            is_there = isinstance(answer, RefusedError) and answer.status == HTTPStatus.CONFLICT  # an answer was lost
            if is_there or not isinstance(answer, BaseException):
                self.asked[node.name] = node, time.monotonic()
            elif isinstance(answer, RefusedError) and not isinstance(answer, ForbiddenError):
                self.verdicts[node] = refused(answer.reason)
            else:
                raise answer

    async def _look(self) -> None:
        """Take the answers that there are by now, and end the turns of those who gave none in time."""
        pods = {pod["spec"]["nodeName"]: pod for pod in await list_pods(self.kube, f"{RUN}={self.run}")}
        answered = []
        for name, (node, since) in list(self.asked.items()):
            pod = pods.get(name)
            told = verdict(pod) if pod else LEFT  # where a node has gone, its pods are deleted
            if pod and told is None and time.monotonic() - since >= VERDICT_SECONDS:
                told = await _silence(self.kube, pod)
            if told:
                self.verdicts[node] = told
                del self.asked[name]
                answered += [pod] if pod else []
        await delete(self.kube, answered)


async def _silence(kube: KubeClient, pod: Object) -> Verdict:
    """Return what the events say of a pod whose container was never tried."""
    return verdict(pod) or busy(await warning(kube, pod) or "no answer")


async def delete(kube: KubeClient, pods: Sequence[Object]) -> None:
    """Delete pods."""
    await asyncio.gather(*(kube.delete(kube.path("pods", pod["metadata"]["name"])) for pod in pods))
