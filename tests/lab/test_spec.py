import ipaddress
from pathlib import Path

import pytest

from lab import places, spec
from lab.errors import LabError
from lab.spec import ClusterSpec


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(places, "STATE", tmp_path)
    return tmp_path


def test_no_two_clusters_share_an_address() -> None:
    specs = [ClusterSpec(f"c{index}", index, ("iptables",) * spec.MOST_NODES) for index in spec.INDEXES]
    ranges = [ipaddress.ip_network(r) for p in specs for r in (p.subnet, p.pods)] + [
        ipaddress.ip_network(spec.SERVICES)
    ]
    assert not [(a, b) for a in ranges for b in ranges if a is not b and a.overlaps(b)]
    for one in specs:
        addresses = [one.api_address, one.host_address, *(node.address for node in one.nodes)]
        assert len(set(addresses)) == spec.MOST_NODES + 2
        assert all(ipaddress.ip_address(address) in ipaddress.ip_network(one.subnet) for address in addresses)
        assert all(
            ipaddress.ip_network(node.pods).subnet_of(ipaddress.ip_network(one.pods))  # type: ignore[arg-type]
            for node in one.nodes
        )


def test_one_mode_is_for_all_nodes() -> None:
    assert spec.modes_for(3, ["nftables"]) == ("nftables",) * 3
    assert spec.modes_for(2, ["iptables", "nftables"]) == ("iptables", "nftables")


@pytest.mark.parametrize(
    ("nodes", "modes", "said"),
    [
        (0, ["iptables"], "A cluster cannot have 0 nodes: the number must be from 1 to 20."),
        (1, ["ipvs"], "kube-proxy mode 'ipvs' is not supported: it must be iptables or nftables."),
        (3, ["iptables", "nftables"], "2 proxy modes do not match 3 nodes. Fix: give one for all, or one for each"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(nodes: int, modes: list[str], said: str) -> None:
    with pytest.raises(LabError) as caught:
        spec.modes_for(nodes, modes)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", ["Dev", "1st", "a-", "a/b", "..", "", "a" * 21])
def test_a_name_that_could_not_be_a_nodes_is_refused(name: str) -> None:
    with pytest.raises(LabError, match=r"Cluster name .* is not valid"):
        spec.check_name(name)


def test_a_spec_is_remembered_until_it_is_removed() -> None:
    one = ClusterSpec("dev", 3, ("iptables", "nftables"))
    spec.save(one)
    assert (spec.saved("dev"), spec.names()) == (one, ["dev"])
    spec.remove("dev")
    spec.remove("dev")
    assert (spec.saved("dev"), spec.names()) == (None, [])


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"layout": 0, "name": "dev"}'])
def test_a_spec_that_cannot_be_read_is_none_but_its_cluster_is_known(state: Path, content: str) -> None:
    (state / "dev").mkdir()
    (state / "dev" / "cluster.json").write_text(content)
    assert (spec.saved("dev"), spec.names()) == (None, ["dev"])


def test_the_folder_of_another_part_of_the_lab_is_no_clusters(state: Path) -> None:
    (state / "docker" / "images").mkdir(parents=True)
    with pytest.raises(LabError, match="is another part of the lab"):
        spec.check_folder("docker")
    spec.check_folder("dev")


def test_logs_may_outlive_the_rest() -> None:
    one = ClusterSpec("dev", 1, ("iptables",))
    spec.save(one)
    one.log("etcd").parent.mkdir()
    one.log("etcd").write_text("panic")
    one.volumes.mkdir()
    spec.remove("dev", but_logs=True)
    assert one.log("etcd").read_text() == "panic"
    assert not one.volumes.exists()
    assert spec.saved("dev") == one
