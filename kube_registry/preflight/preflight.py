"""The preflight: check that every node can pull from the registry, before anything is built.

A tiny image is pushed through the tunnel, and a probe pod on every node to test pulls it by the real pull reference.
The results are stored (proven_nodes.py), so that only new and changed nodes are tested again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.kube.proxy_mode import proxy_modes
from kube_registry.limits import PREFLIGHT_SECONDS
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.preflight.errors import PreflightError
from kube_registry.preflight.node_tests import WORST, examine, say_later, worst_of
from kube_registry.preflight.node_window import NodeTest, Verdicts, ask
from kube_registry.preflight.probe_pod import ARCHITECTURE, PULLED, USE_NODE_PROXY, busy, probe_pod, verdict
from kube_registry.preflight.proven_nodes import Conditions
from kube_registry.registry.api import open_registry
from kube_registry.registry.probe_image import TAG, store_probe
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import counted, first_of

SETTLE_SECONDS = 8.0
"""How long to retry on nodes whose connection is refused: kube-proxy needs a second or two for a new Service."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0
"""Between two tests of a node in that time; each pause is twice as long as the one before it."""


async def prove_nodes(
    kube: KubeClient, settings: RegistrySettings, push_address: str, say: Callable[[str], None]
) -> None:
    """Check that no node fails to pull an image of the build platform.

    Args:
        kube: client of the registry's cluster.
        settings: the stack.
        push_address: address of the open tunnel.
        say: prints a line that names nodes of another architecture, if only some are, and a line that names nodes that
            cannot be tested now.

    Raises:
        PreflightError: some nodes cannot pull, or all have another architecture.
        ClusterError: the nodes cannot be tested.
    """
    verdicts = await examine_nodes(kube, settings, push_address, afresh=False)
    others = [node.name for node, verdict in verdicts.items() if verdict is ARCHITECTURE]
    if 0 < len(others) < len(verdicts):
        named = first_of(sorted(others), WORST)
        count = counted(len(others), "node")
        say(f"images for {settings.platform} do not run on {count} of another architecture: {named}")
    say_later(verdicts, "The next update that pushes", say)
    fine = (PULLED,) if len(others) == len(verdicts) else (PULLED, ARCHITECTURE)
    failing = {node: verdict for node, verdict in verdicts.items() if verdict not in fine and not verdict.later}
    if failing:
        raise await _preflight_error(kube, settings, failing, len(verdicts))


async def examine_nodes(kube: KubeClient, settings: RegistrySettings, push_address: str, *, afresh: bool) -> Verdicts:
    """Return the verdict of every node of the cluster that pulls images.

    Args:
        kube: client of the registry's cluster.
        settings: the stack.
        push_address: address of the open tunnel.
        afresh: whether to test nodes again that have pulled before.

    Raises:
        ClusterError: the nodes cannot be tested.
    """
    nodes = await linux_nodes(kube)
    fitting = [node for node in nodes if node.architecture == settings.architecture]
    conditions = conditions_of(settings)

    async def pull(to_test: Sequence[Node]) -> Verdicts:
        async with open_registry(push_address, kube.where) as registry:
            digest = await store_probe(registry, settings.platform)
        image = settings.endpoints.pull_reference(PROBE_REPOSITORY, TAG, digest)
        return await settled(kube, to_test, image, time.monotonic() + PREFLIGHT_SECONDS)

    verdicts = await examine(kube, fitting, conditions, PULLED, pull, afresh=afresh)
    return dict.fromkeys(nodes, ARCHITECTURE) | verdicts


def conditions_of(settings: RegistrySettings) -> Conditions:
    """Return what a result depends on: a node may be able to pull only through its node proxy."""
    return {"pullHost": settings.endpoints.pull_host, "nodeProxy": str(settings.has_node_proxy).lower()}


def pull_test(image: str) -> NodeTest:
    """Return the test whether nodes pull an image by its pull reference."""
    return NodeTest(partial(probe_pod, image), verdict, lambda warned: busy(warned or "no result in time"))


async def settled(kube: KubeClient, nodes: Sequence[Node], image: str, ends: float) -> Verdicts:
    """Test nodes, and retry those whose connection is refused: kube-proxy may not have set up a new Service yet.

    Args:
        kube: client of the registry's cluster.
        nodes: the nodes.
        image: the pull reference.
        ends: time.monotonic() at which the test ends.

    Raises:
        ClusterError: as for `ask`.
    """
    started, test = time.monotonic(), pull_test(image)
    verdicts, refused = Verdicts(), list(nodes)
    pause = _FIRST_PAUSE
    while True:
        began = time.monotonic()
        verdicts |= await ask(kube, refused, test, ends)
        refused = [node for node in nodes if verdicts[node].fix == USE_NODE_PROXY]
        if not refused or began >= min(started + SETTLE_SECONDS, ends - pause):
            return verdicts
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _preflight_error(
    kube: KubeClient, settings: RegistrySettings, failing: Verdicts, nodes: int
) -> PreflightError:
    """Return the error with a table of the first failing nodes, and the fix for most of them."""
    worst = worst_of(failing)
    modes = await proxy_modes(kube, worst)
    fix, _ = Counter(verdict.fix for verdict in failing.values()).most_common(1)[0]
    return PreflightError(
        where=kube.where,
        pull_host=settings.endpoints.pull_host,
        rows=tuple((node.name, node.runtime, str(modes[node]), failing[node].words) for node in worst),
        failing=len(failing),
        nodes=nodes,
        fix=fix,
    )
