"""Which nodes serve node ports, as their probe pods tell; tests/e2e/lab/test_exposure.py has it on real nodes."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import linux_nodes
from kube_registry.preflight import preflight
from kube_registry.preflight.errors import NodeProxyNeededError
from kube_registry.preflight.exposure import prove_without_node_proxy
from kube_registry.preflight.loopback import TEST, node_ports_on_loopback
from kube_registry.spec.settings import Settings
from tests.preflight.test_preflight import Fleet, Object, answered, fleet, full, kube, refused, stack

__all__ = ["fleet", "kube", "stack"]

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a node that refuses once more, not for eight seconds."""
    monkeypatch.setattr(preflight, "SETTLE_SECONDS", 0.5)


async def served(kube: KubeClient, stack: Settings) -> dict[str, bool | None]:
    nodes = await linux_nodes(kube)
    return {node.name: each for node, each in (await node_ports_on_loopback(kube, stack, nodes)).items()}


async def test_an_answer_of_the_registry_is_the_proof_and_nothing_is_left(
    fleet: Fleet, kube: KubeClient, stack: Settings
) -> None:
    fleet.of_node = {"serves": answered, "refuses": refused, "full": full}
    for name in fleet.of_node:
        fleet.add(name)
    assert await served(kube, stack) == {"serves": True, "refuses": False, "full": None}
    assert (fleet.services, fleet.pods) == ({}, {})


async def test_what_an_interrupted_test_has_left_is_deleted_and_not_that_of_another(
    fleet: Fleet, kube: KubeClient, stack: Settings
) -> None:
    fleet.add("node")
    fleet.of_node = {"node": answered}
    for name, time in (("left", "2026-01-01T00:00:00Z"), ("another", "2999-01-01T00:00:00Z")):
        fleet.services[f"{TEST}-{name}"] = {"metadata": {"name": f"{TEST}-{name}", "creationTimestamp": time}}
    await served(kube, stack)
    assert set(fleet.services) == {f"{TEST}-another"}


class TestWithoutNodeProxy:
    """An update that would delete the node proxy asks the nodes; any other asks none."""

    @pytest.mark.parametrize(
        ("daemon_set", "preflight"), [(404, True), (403, True), (200, False)], ids=["none", "forbidden", "no preflight"]
    )
    async def test_no_other_update_asks_a_node(
        self, fleet: Fleet, kube: KubeClient, stack: Settings, daemon_set: int, *, preflight: bool
    ) -> None:
        fleet.add("node")
        fleet.daemon_set = daemon_set
        await prove_without_node_proxy(kube, stack.model_copy(update={"preflight": preflight}), seconds=30)
        assert not fleet.asked

    @pytest.mark.parametrize("other", [answered, full])
    async def test_it_goes_on_if_no_node_refuses(
        self, fleet: Fleet, kube: KubeClient, stack: Settings, other: Callable[[float], Object]
    ) -> None:
        fleet.of_node = {"one": answered, "other": other}
        for name in fleet.of_node:
            fleet.add(name)
        fleet.daemon_set = 200
        await prove_without_node_proxy(kube, stack, seconds=30)
        assert set(fleet.asked) == {"one", "other"}

    async def test_a_node_that_refuses_stops_it(self, fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
        fleet.of_node = {"one": answered, "other": refused}
        for name in fleet.of_node:
            fleet.add(name)
        fleet.daemon_set = 200
        with pytest.raises(NodeProxyNeededError, match=r"1 of 2 nodes .*was not deleted: other\. Fix: "):
            await prove_without_node_proxy(kube, stack, seconds=30)

    @pytest.mark.parametrize(("mode", "needed"), [("nftables", True), ("iptables", False), ("<html>", False)])
    async def test_a_node_that_gives_no_answer_counts_by_the_mode_of_its_kube_proxy(
        self, fleet: Fleet, kube: KubeClient, stack: Settings, mode: str, *, needed: bool
    ) -> None:
        """It would not find the registry once it is back."""
        fleet.of_node = {"one": answered, "full": full}
        for name in fleet.of_node:
            fleet.add(name)
        fleet.add("cordoned", cordoned=True)
        fleet.daemon_set, fleet.proxy_mode = 200, mode
        expected = pytest.raises(NodeProxyNeededError, match=r"2 of 3 nodes .*: cordoned, full\. Fix: ")
        with expected if needed else nullcontext():
            await prove_without_node_proxy(kube, stack, seconds=30)
        assert set(fleet.asked) == {"one", "full"}
