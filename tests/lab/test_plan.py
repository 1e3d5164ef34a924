import ipaddress
from pathlib import Path

import pytest

from lab import places, plan
from lab.errors import LabError
from lab.plan import Plan


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(places, "STATE", tmp_path)
    return tmp_path


def test_no_two_clusters_share_an_address() -> None:
    plans = [Plan(f"c{index}", index, ("iptables",) * plan.MOST_NODES) for index in plan.INDEXES]
    ranges = [ipaddress.ip_network(r) for p in plans for r in (p.subnet, p.pods)] + [
        ipaddress.ip_network(plan.SERVICES)
    ]
    assert not [(a, b) for a in ranges for b in ranges if a is not b and a.overlaps(b)]
    for one in plans:
        addresses = [one.api_address, one.host_address, *(node.address for node in one.nodes)]
        assert len(set(addresses)) == plan.MOST_NODES + 2
        assert all(ipaddress.ip_address(address) in ipaddress.ip_network(one.subnet) for address in addresses)
        assert all(
            ipaddress.ip_network(node.pods).subnet_of(ipaddress.ip_network(one.pods))  # type: ignore[arg-type]
            for node in one.nodes
        )


def test_one_mode_is_for_all_nodes() -> None:
    assert plan.modes_for(3, ["nftables"]) == ("nftables",) * 3
    assert plan.modes_for(2, ["iptables", "nftables"]) == ("iptables", "nftables")


@pytest.mark.parametrize(
    ("nodes", "modes", "said"),
    [
        (0, ["iptables"], "A cluster cannot have 0 nodes: ask for 1 to 20."),
        (1, ["ipvs"], "kube-proxy has no mode 'ipvs' here: ask for iptables or nftables."),
        (3, ["iptables", "nftables"], "2 proxy modes do not fit 3 nodes: name one for all or one for each."),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(nodes: int, modes: list[str], said: str) -> None:
    with pytest.raises(LabError) as caught:
        plan.modes_for(nodes, modes)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", ["Dev", "1st", "a-", "a/b", "..", "", "a" * 21])
def test_a_name_that_could_not_be_a_nodes_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="cannot be called"):
        plan.check_name(name)


def test_a_plan_is_remembered_until_it_is_removed() -> None:
    one = Plan("dev", 3, ("iptables", "nftables"))
    plan.save(one)
    assert (plan.saved("dev"), plan.names()) == (one, ["dev"])
    plan.remove("dev")
    plan.remove("dev")
    assert (plan.saved("dev"), plan.names()) == (None, [])


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"layout": 0, "name": "dev"}'])
def test_a_plan_that_cannot_be_read_is_none_but_its_cluster_is_known(state: Path, content: str) -> None:
    (state / "dev").mkdir()
    (state / "dev" / "cluster.json").write_text(content)
    assert (plan.saved("dev"), plan.names()) == (None, ["dev"])


def test_the_folder_of_another_part_of_the_lab_is_no_clusters(state: Path) -> None:
    (state / "docker" / "images").mkdir(parents=True)
    with pytest.raises(LabError, match="is another part of the lab"):
        plan.check_folder("docker")
    plan.check_folder("dev")


def test_logs_may_outlive_the_rest() -> None:
    one = Plan("dev", 1, ("iptables",))
    plan.save(one)
    one.log("etcd").parent.mkdir()
    one.log("etcd").write_text("panic")
    one.volumes.mkdir()
    plan.remove("dev", but_logs=True)
    assert one.log("etcd").read_text() == "panic"
    assert not one.volumes.exists()
    assert plan.saved("dev") == one
