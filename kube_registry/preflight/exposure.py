"""Find out which exposure a cluster needs: test its nodes if the registry runs, else read kube-proxy's settings."""

from collections.abc import Iterable
from dataclasses import dataclass

from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.kube.pods import choose, registry_pods
from kube_registry.kube.proxy_mode import ProxyMode, proxy_modes
from kube_registry.limits import PREFLIGHT_SECONDS
from kube_registry.preflight.errors import NodeProxyNeededError
from kube_registry.preflight.loopback import node_ports_on_loopback
from kube_registry.preflight.node_tests import WORST
from kube_registry.registry.readiness import has_node_proxy
from kube_registry.spec.endpoints import Exposure
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import first_of


@dataclass(frozen=True)
class NodeExposure:
    """Whether a node's kube-proxy serves node ports on loopback.

    Args:
        node: the node.
        mode: the mode of its kube-proxy.
        serves: whether it serves them; None if unknown.
        tested: whether the node was tested; if not, `serves` follows from kube-proxy's configuration.
    """

    node: Node
    mode: ProxyMode
    serves: bool | None
    tested: bool

    @property
    def words(self) -> str:
        """The result for a table."""
        if self.serves is None:
            return f"not known: {self.node.busy}" if self.node.busy else "not known"
        return f"{'served' if self.serves else 'not served'}, {'tested' if self.tested else 'by its configuration'}"


async def examine_exposure(
    kube: KubeClient, settings: RegistrySettings, *, test: bool = True, seconds: float = PREFLIGHT_SECONDS
) -> list[NodeExposure]:
    """Return for each node whether its kube-proxy serves node ports on loopback, sorted by name.

    Args:
        kube: client of the cluster.
        settings: the settings of the registry, which may not be deployed yet.
        test: whether to test the nodes if the registry runs; otherwise kube-proxy's configuration is read only.
        seconds: how long the test of all nodes together may take.

    Raises:
        ForbiddenError: a permission is missing.
        ClusterError: the API server does not respond.
    """
    nodes = sorted(await linux_nodes(kube), key=lambda node: node.name)
    modes = await proxy_modes(kube, nodes)
    tested: dict[Node, bool | None] = {}
    if test and choose(await registry_pods(kube)):
        able = [node for node in nodes if not node.busy]
        tested |= await node_ports_on_loopback(kube, settings, able, seconds=seconds)
    return [_of(node, modes[node], tested.get(node)) for node in nodes]


async def prove_without_node_proxy(kube: KubeClient, settings: RegistrySettings, *, seconds: float) -> None:
    """Check that all nodes can pull without the node proxy, if this update is about to delete it.

    A node that gives no answer now, such as a cordoned one, counts by the configuration of its kube-proxy.

    Args:
        kube: client of the registry's cluster.
        settings: the settings, which no longer have a node proxy; its DaemonSet may still run.
        seconds: how long the test of the nodes may take.

    Raises:
        NodeProxyNeededError: on some nodes, only the node proxy serves the registry.
        ClusterError: the nodes cannot be tested.
    """
    if not settings.preflight or not await has_node_proxy(kube, settings.node_proxy_namespace):
        return  # a user who may not see the node proxy may not delete it either
    nodes = await examine_exposure(kube, settings, seconds=seconds)
    if failing := [each.node.name for each in nodes if each.serves is False]:
        raise NodeProxyNeededError(
            where=kube.where, failing=len(failing), nodes=len(nodes), names=first_of(failing, WORST)
        )


def needed_exposure(nodes: Iterable[NodeExposure]) -> Exposure | None:
    """Return the exposure that the nodes need; None if it is known of no node.

    A node of which nothing is known does not decide: the preflight tests it before anything is built.
    """
    known = [node.serves for node in nodes if node.serves is not None]
    if not known:
        return None
    return "nodePort" if all(known) else "nodeProxy"


def _of(node: Node, mode: ProxyMode, tested: bool | None) -> NodeExposure:  # noqa: FBT001 - a result
    if tested is None:
        return NodeExposure(node, mode, mode.on_loopback, tested=False)
    return NodeExposure(node, mode, tested, tested=True)
