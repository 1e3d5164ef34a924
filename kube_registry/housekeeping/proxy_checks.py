"""Check kube-proxy's mode on each node: whether it serves node ports on loopback, and until which version."""

from collections.abc import Iterator, Mapping

from kube_registry.errors import on_stack
from kube_registry.housekeeping.node_checks import Finding
from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.kube.proxy_mode import IPTABLES, IPVS, NFTABLES_DEFAULT, ProxyMode, proxy_modes
from kube_registry.preflight.node_tests import WORST
from kube_registry.preflight.probe_pod import USE_NODE_PROXY
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import add_fix, first_of

IPVS_OFF, IPVS_REMOVED = "1.40", "1.43"
"""The Kubernetes versions in which IPVS is off by default, and in which it is removed (KEP-5495)."""

_NEXT_DEFAULT = ".".join(map(str, NFTABLES_DEFAULT))


async def kube_proxies(kube: KubeClient, settings: RegistrySettings) -> list[Finding]:
    """Check the modes of all nodes' kube-proxies; one finding for each mode.

    Args:
        kube: client of the registry's cluster.
        settings: settings of the registry.

    Raises:
        ForbiddenError: the permission to list nodes is missing.
    """
    modes = await proxy_modes(kube, await linux_nodes(kube))
    found = judge_modes(modes, has_node_proxy=settings.has_node_proxy)
    return [
        Finding(each.subject, each.well, on_stack(each.words, settings.stack, settings.component)) for each in found
    ]


def judge_modes(modes: Mapping[Node, ProxyMode], *, has_node_proxy: bool) -> Iterator[Finding]:
    """Yield a finding for each mode, which names its nodes.

    Args:
        modes: the mode of each node.
        has_node_proxy: whether the node proxy serves the read door on loopback.
    """
    for mode in sorted(set(modes.values()), key=str):
        nodes = first_of(sorted(node.name for node in modes if modes[node] == mode), WORST)
        words = f"{nodes}: {_words(mode, has_node_proxy=has_node_proxy)}"
        if mode.on_loopback is None:
            yield Finding("kube-proxy", well=None, words=words)
        elif mode.on_loopback or has_node_proxy:
            yield Finding("kube-proxy", well=True, words=words)
        else:
            yield Finding("kube-proxy", well=False, words=add_fix(words, f"{USE_NODE_PROXY}, then `pulumi up`"))


def _words(mode: ProxyMode, *, has_node_proxy: bool) -> str:
    if mode.on_loopback is None:
        return "mode unknown: no DaemonSet kube-proxy can be read, and kube-proxy does not report its mode"
    name = f"mode {mode}{' by default' if mode.explicit is False else ''}"
    words = f"{name}, which {'serves' if mode.on_loopback else 'does not serve'} node ports on loopback"
    if mode.name == IPVS:
        words += f", is off by default from Kubernetes {IPVS_OFF} on, and is removed in {IPVS_REMOVED}"
    if has_node_proxy:
        return f"{words}; the node proxy serves the registry there"
    if mode.name == IPTABLES and mode.on_loopback and not mode.explicit:
        unset = "" if mode.explicit is False else "if no mode is set, "
        words += f"; {unset}from Kubernetes {_NEXT_DEFAULT} on it is nftables, which needs `exposure: nodeProxy`"
    return words
