"""Test many nodes at a time: when one has answered, or has timed out, the next one starts."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from secrets import token_hex

from kube_registry.concurrency import poll
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import ForbiddenError, RefusedError
from kube_registry.kube.nodes import Node
from kube_registry.kube.pods import Object, list_pods, warning
from kube_registry.preflight.probe_pod import LEFT, RUN, Verdict, busy, refused

AT_ONCE = 100
"""Maximum number of probe pods at a time."""

VERDICT_SECONDS = 30.0
"""Timeout of one node; most take a second."""

_PAUSE = 0.2

_NOT_TESTED = busy("no time was left to test it")

Verdicts = dict[Node, Verdict]


@dataclass(frozen=True)
class NodeTest:
    """What the probe pods test.

    Args:
        pod: returns the probe pod for the name of a node and the label value of the run.
        verdict: returns the verdict from the pod's status; None while it is unknown.
        late: returns the verdict without one in time, from the newest warning event about the pod, if there is one.
        more_seconds: how much longer than VERDICT_SECONDS it may take on one node.
    """

    pod: Callable[[str, str], Object]
    verdict: Callable[[Object], Verdict | None]
    late: Callable[[str | None], Verdict]
    more_seconds: float = 0.0


async def ask(kube: KubeClient, nodes: Sequence[Node], test: NodeTest, ends: float) -> Verdicts:
    """Test nodes by probe pods, which are deleted afterwards.

    Args:
        kube: client of the registry's cluster.
        nodes: the nodes.
        test: what they test.
        ends: time.monotonic() at which the test ends.

    Raises:
        ForbiddenError: the permission to create, list or delete pods is missing.
        ClusterError: the API server does not respond.
    """
    window = _Window(kube.until(ends), test, token_hex(4), deque(nodes))
    try:
        await poll(window.slide, seconds=ends - time.monotonic(), pause=_PAUSE)
        for pod in await list_pods(kube, f"{RUN}={window.run}"):
            if node := window.running.pop(pod["spec"]["nodeName"], None):
                window.verdicts[node[0]] = await _timed_out(kube, test, pod)
    finally:
        await delete(kube, await list_pods(kube, f"{RUN}={window.run}"))
    return dict.fromkeys(nodes, _NOT_TESTED) | window.verdicts


@dataclass
class _Window:
    """The nodes that are being tested, wait for their test, or have a verdict.

    Args:
        kube: client of the registry's cluster.
        test: what the pods test.
        run: label value of this preflight's pods.
        waiting: nodes that are not tested yet.
        running: name of each node with a probe pod -> the node, and when its test started.
        verdicts: the verdicts so far.
    """

    kube: KubeClient
    test: NodeTest
    run: str
    waiting: deque[Node]
    running: dict[str, tuple[Node, float]] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=dict)

    async def slide(self) -> bool | None:
        """Start tests and collect verdicts; return None until all nodes have one."""
        await self._fill()
        await self._collect()
        return not (self.waiting or self.running) or None

    async def _fill(self) -> None:
        """Create the pods of the next nodes.

        Raises:
            ForbiddenError: the permission is missing; raised after all attempts, so that every pod is deleted later.
        """
        batch = [self.waiting.popleft() for _ in range(min(len(self.waiting), AT_ONCE - len(self.running)))]
        pods = [self.test.pod(node.name, self.run) for node in batch]
        # Each pod has a fixed name, so a repeated request creates no second pod.
        creates = (self.kube.create(self.kube.path("pods"), pod, repeatable=True) for pod in pods)
        answers = await asyncio.gather(*creates, return_exceptions=True)
        for node, answer in zip(batch, answers, strict=True):
            exists = isinstance(answer, RefusedError) and answer.status == HTTPStatus.CONFLICT  # a response was lost
            if exists or not isinstance(answer, BaseException):
                self.running[node.name] = node, time.monotonic()
            elif isinstance(answer, RefusedError) and not isinstance(answer, ForbiddenError):
                self.verdicts[node] = refused(answer.reason)
            else:
                raise answer

    async def _collect(self) -> None:
        """Collect the verdicts of pods that have one, and end the tests that have timed out."""
        pods = {pod["spec"]["nodeName"]: pod for pod in await list_pods(self.kube, f"{RUN}={self.run}")}
        answered = []
        for name, (node, since) in list(self.running.items()):
            pod = pods.get(name)
            found = self.test.verdict(pod) if pod else LEFT  # the pods of a removed node are deleted
            if pod and found is None and time.monotonic() - since >= VERDICT_SECONDS + self.test.more_seconds:
                found = await _timed_out(self.kube, self.test, pod)
            if found:
                self.verdicts[node] = found
                del self.running[name]
                answered += [pod] if pod else []
        await delete(self.kube, answered)


async def _timed_out(kube: KubeClient, test: NodeTest, pod: Object) -> Verdict:
    """Return the verdict for a pod after the timeout: its status, or the newest warning event about it."""
    return test.verdict(pod) or test.late(await warning(kube, pod))


async def delete(kube: KubeClient, pods: Sequence[Object]) -> None:
    """Delete pods."""
    await asyncio.gather(*(kube.delete(kube.path("pods", pod["metadata"]["name"])) for pod in pods))
