"""Which exposure a cluster needs, by what is known of its nodes; tests/e2e/lab/test_exposure.py asks real ones."""

import pytest

from kube_registry.kube.nodes import Node
from kube_registry.kube.proxy_mode import UNKNOWN, ProxyMode
from kube_registry.preflight.exposure import NodeExposure, needed_exposure


def of(serves: bool | None, *, tested: bool = True, busy: str = "") -> NodeExposure:  # noqa: FBT001 - a result
    node = Node("one", "uid", "amd64", "containerd://2.4.2", "v1.37.2", busy)
    return NodeExposure(node, UNKNOWN if serves is None else ProxyMode("iptables"), serves, tested)


@pytest.mark.parametrize(
    ("nodes", "needed"),
    [
        ([True, True], "nodePort"),
        ([True, False], "nodeProxy"),
        ([False, None], "nodeProxy"),
        ([True, None], "nodePort"),
        ([None], None),
        ([], None),
    ],
)
def test_one_node_that_serves_no_node_ports_decides(nodes: list[bool | None], needed: str | None) -> None:
    assert needed_exposure([of(each) for each in nodes]) == needed


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (of(serves=True), "served, tested"),
        (of(serves=False, tested=False), "not served, by its configuration"),
        (of(serves=None, busy="it is cordoned"), "not known: it is cordoned"),
        (of(serves=None), "not known"),
    ],
)
def test_the_table_says_how_it_is_known(node: NodeExposure, words: str) -> None:
    assert node.words == words
