"""What the preflight's records say of each node: proven, never asked, asked in vain, or not to be asked now."""

import pytest

from kube_registry.housekeeping.node_checks import Proofs, read_proofs
from kube_registry.kube.client import KubeClient
from kube_registry.preflight.errors import PreflightError
from kube_registry.preflight.preflight import examine_nodes, prove_nodes
from kube_registry.spec.settings import Settings
from tests.preflight.test_preflight import Fleet, cannot_pull, fleet, full, kube, stack

__all__ = ["fleet", "kube", "stack"]

pytestmark = pytest.mark.anyio


def levels(proofs: Proofs) -> dict[str, bool | None]:
    return {line.subject.removeprefix("node "): line.well for line in proofs.findings}


def words(proofs: Proofs, node: str) -> str:
    return next(line.words for line in proofs.findings if line.subject == f"node {node}")


async def test_a_node_is_proven_or_to_be_asked(fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
    fleet.add("one")
    await prove_nodes(kube, stack, fleet.url, print)
    fleet.add("new")
    proofs = await read_proofs(kube, stack)
    assert (levels(proofs), proofs.to_ask) == ({"new": False, "one": True}, ("new",))
    assert "`.venv/bin/python -m registryctl preflight" in words(proofs, "new")


async def test_after_a_move_the_pulls_of_before_are_not_denied(fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
    fleet.add("one")
    await prove_nodes(kube, stack, fleet.url, print)
    proofs = await read_proofs(kube, stack.model_copy(update={"exposure": "nodeProxy"}))
    assert "has no recorded pull with" in words(proofs, "one")
    assert "exposure nodeProxy. Fix: " in words(proofs, "one")


async def test_a_full_node_is_no_fault_and_is_to_be_asked(fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
    fleet.add("one")
    fleet.add("full")
    fleet.of_node = {"full": full}
    await prove_nodes(kube, stack, fleet.url, print)
    proofs = await read_proofs(kube, stack)
    assert (levels(proofs), proofs.to_ask) == ({"full": None, "one": True}, ("full",))
    assert "OutOfpods" in words(proofs, "full")
    fleet.of_node = {}
    await prove_nodes(kube, stack, fleet.url, print)
    proofs = await read_proofs(kube, stack)
    assert (levels(proofs), proofs.to_ask) == ({"full": True, "one": True}, ())


async def test_a_node_that_cannot_be_asked_now_is_no_fault_and_not_to_be_asked(
    fleet: Fleet, kube: KubeClient, stack: Settings
) -> None:
    fleet.add("away", cordoned=True)
    fleet.add("starting", taints=("node.cilium.io/agent-not-ready",))
    proofs = await read_proofs(kube, stack)
    assert (levels(proofs), proofs.to_ask) == ({"away": None, "starting": None}, ())
    assert "it is cordoned" in words(proofs, "away")
    assert "node.cilium.io/agent-not-ready" in words(proofs, "starting")


async def test_asking_by_hand_keeps_the_proofs_of_nodes_that_give_no_answer_now(
    fleet: Fleet, kube: KubeClient, stack: Settings
) -> None:
    for name in ("one", "away", "full"):
        fleet.add(name)
    await prove_nodes(kube, stack, fleet.url, print)
    fleet.add("away", cordoned=True)
    fleet.of_node = {"full": full}
    await examine_nodes(kube, stack, fleet.url, afresh=True)
    assert levels(await read_proofs(kube, stack)) == {"one": True, "away": True, "full": True}


async def test_a_node_that_answers_that_it_cannot_pull_loses_its_proof(
    fleet: Fleet, kube: KubeClient, stack: Settings
) -> None:
    fleet.add("one")
    fleet.add("wrong")
    await prove_nodes(kube, stack, fleet.url, print)
    fleet.of_node = {"wrong": cannot_pull}
    await examine_nodes(kube, stack, fleet.url, afresh=True)
    proofs = await read_proofs(kube, stack)
    assert (levels(proofs), proofs.to_ask) == ({"one": True, "wrong": False}, ("wrong",))
    with pytest.raises(PreflightError):
        await prove_nodes(kube, stack, fleet.url, print)


async def test_no_node_is_looked_at_where_the_preflight_is_off_or_the_image_is_for_others(
    fleet: Fleet, kube: KubeClient, stack: Settings
) -> None:
    fleet.add("one")
    assert await read_proofs(kube, stack.model_copy(update={"preflight": False})) == Proofs()
    other = await read_proofs(kube, stack.model_copy(update={"platform": "linux/arm64"}))
    assert (levels(other), other.to_ask) == ({"one": True}, ())


async def test_records_of_an_older_version_are_read(fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
    fleet.add("one")
    await prove_nodes(kube, stack, fleet.url, print)
    assert fleet.proofs
    del fleet.proofs["data"]["unanswered"]
    assert levels(await read_proofs(kube, stack)) == {"one": True}
