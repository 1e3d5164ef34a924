"""What a doctor says of the modes of kube-proxy, by what the stack's exposure is."""

import pytest

from kube_registry.housekeeping.node_checks import Finding
from kube_registry.housekeeping.proxy_checks import judge_modes
from kube_registry.kube.nodes import Node
from kube_registry.kube.proxy_mode import UNKNOWN, ProxyMode

UNSET = ProxyMode("iptables", explicit=False, on_loopback=True)
REPORTED = ProxyMode("iptables", explicit=None, on_loopback=True)
SET = ProxyMode("iptables", explicit=True, on_loopback=True)
NFTABLES = ProxyMode("nftables", explicit=True, on_loopback=False)
IPVS = ProxyMode("ipvs", explicit=True, on_loopback=False)

LATER = "from Kubernetes 1.40 on it is nftables, which needs `exposure: nodeProxy`"
INSTEAD = "; the node proxy serves the registry there"


def judged(*modes: ProxyMode, has_node_proxy: bool = False) -> list[Finding]:
    nodes = [Node(f"n{i}", f"uid-{i}", "amd64", "containerd://2.4.2", "v1.37.2") for i in range(len(modes))]
    return list(judge_modes(dict(zip(nodes, modes, strict=True)), has_node_proxy=has_node_proxy))


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (SET, "n0: mode iptables, which serves node ports on loopback"),
        (UNSET, f"n0: mode iptables by default, which serves node ports on loopback; {LATER}"),
        (REPORTED, f"n0: mode iptables, which serves node ports on loopback; if no mode is set, {LATER}"),
    ],
)
def test_a_mode_that_serves_is_fine_with_the_version_until_which_it_does(mode: ProxyMode, words: str) -> None:
    assert judged(mode) == [Finding("kube-proxy", well=True, words=words)]


def test_a_mode_that_does_not_serve_is_fixed_by_the_node_proxy() -> None:
    (found,) = judged(IPVS)
    assert found.well is False
    assert found.words == (
        "n0: mode ipvs, which does not serve node ports on loopback, is off by default from Kubernetes 1.40 on, and is "
        "removed in 1.43. Fix: `pulumi config set exposure nodeProxy`, then `pulumi up`"
    )


def test_with_a_node_proxy_every_mode_is_fine() -> None:
    assert [(found.well, found.words) for found in judged(NFTABLES, UNSET, has_node_proxy=True)] == [
        (True, f"n1: mode iptables by default, which serves node ports on loopback{INSTEAD}"),
        (True, f"n0: mode nftables, which does not serve node ports on loopback{INSTEAD}"),
    ]


def test_each_mode_has_a_line_with_its_nodes() -> None:
    found = judged(SET, NFTABLES, SET, UNKNOWN)
    assert [(each.well, each.words.partition(":")[0]) for each in found] == [
        (None, "n3"),
        (True, "n0, n2"),
        (False, "n1"),
    ]


def test_no_more_than_ten_nodes_are_named() -> None:
    (found,) = judged(*[SET] * 12)
    assert found.words.startswith("n0, n1, n10, n11, n2, n3, n4, n5, n6, n7 and 2 more: ")
