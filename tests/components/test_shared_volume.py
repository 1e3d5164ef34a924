"""A shared volume, as the program registers it."""

import json
from typing import Any

import pulumi
import pytest

from components.args import SharedVolumeArgs
from components.cluster_registry import ClusterRegistry
from components.shared_volume import SharedVolume
from tests.components.test_library import inputs, registered
from tests.components.test_program import CONFIG, Monitor, Registered, described


def with_volume(**settings: object) -> Registered:
    record = Registered()
    given = {"claims": {"shop": "5Gi"}, **settings}
    with described(Monitor(record), {**CONFIG, "kube-registry:sharedVolume": json.dumps(given)}):
        return record


def volumes(record: Registered) -> dict[str, dict[str, Any]]:
    """The persistent volumes, by the namespace of their claim; the path in them is a secret."""
    specs = [each["spec"]["value"] for each in record.of_type("PersistentVolume")]
    return {spec["claimRef"]["namespace"]: spec for spec in specs}


def server(record: Registered) -> dict[str, Any]:
    (spec,) = (each["spec"] for each in record.of_type("Service") if each["metadata"]["name"] == "nfs-server")
    return dict(spec)


def test_by_default_no_port_of_a_node_leads_to_it() -> None:
    record = with_volume()
    assert server(record)["type"] == "ClusterIP"
    assert not [port for port in server(record)["ports"] if "nodePort" in port]
    assert record.of_type("DaemonSet") == []
    assert not [option for option in volumes(record)["shop"]["mountOptions"] if option.startswith("port=")]


def test_a_node_proxy_has_a_namespace_of_its_own_and_leads_to_the_nfs_port() -> None:
    record = with_volume(exposure="nodeProxy", port=32050)
    assert server(record)["type"] == "ClusterIP"
    (proxy,) = record.of_type("DaemonSet")
    assert proxy["metadata"]["namespace"] == "kube-registry-shared-proxy"
    (config,) = (each["data"] for each in record.of_type("ConfigMap") if "haproxy.cfg" in each["data"])
    assert "bind 127.0.0.1:32050" in config["haproxy.cfg"]
    assert volumes(record)["shop"]["nfs"]["server"] == "127.0.0.1"
    assert "port=32050" in volumes(record)["shop"]["mountOptions"]


def test_a_node_port_is_opened_by_its_setting_only() -> None:
    record = with_volume(exposure="nodePort", port=32050)
    assert [port["nodePort"] for port in server(record)["ports"]] == [32050]
    assert record.of_type("DaemonSet") == []


def test_claims_are_bound_to_volumes_made_for_them() -> None:
    record = with_volume(claims={"shop": "5Gi", "lab": "1Gi"})
    assert set(volumes(record)) == {"shop", "lab", "kube-registry-shared"}
    for namespace, size in (("shop", "5Gi"), ("lab", "1Gi")):
        (claim,) = (
            each for each in record.of_type("PersistentVolumeClaim") if each["metadata"]["namespace"] == namespace
        )
        volume = volumes(record)[namespace]
        assert volume["claimRef"]["name"] == claim["metadata"]["name"]
        assert claim["spec"]["resources"]["requests"] == volume["capacity"] == {"storage": size}
        assert claim["spec"]["storageClassName"] == volume["storageClassName"] == ""
        assert claim["spec"]["accessModes"] == volume["accessModes"] == ["ReadWriteMany"]


def test_the_driver_gets_the_same_server_and_path() -> None:
    plain, driven = (
        volumes(with_volume(exposure="nodePort"))["shop"],
        volumes(with_volume(exposure="nodePort", csi=True)),
    )
    volume = driven["shop"]
    assert "nfs" not in volume
    attributes = volume["csi"]["volumeAttributes"]
    assert attributes["server"] == plain["nfs"]["server"]
    assert len(attributes["share"]) == len(plain["nfs"]["path"])  # another name in each stack
    handles = [each["csi"]["volumeHandle"] for each in driven.values()]
    assert len(set(handles)) == len(handles)


def test_only_nodes_get_the_name_of_the_folder() -> None:
    record = with_volume()
    (spec,) = (each["spec"] for each in record.of_type("Deployment") if each["metadata"]["name"] == "nfs-server")
    (container,) = spec["value"]["template"]["spec"]["containers"]
    (folder,) = (each["value"] for each in container["env"] if each["name"] == "EXPORT_NAME")
    assert {volume["nfs"]["path"] for volume in volumes(record).values()} == {f"/{folder}"}
    assert len(folder) == 32
    assert folder not in json.dumps([each["data"] for each in record.of_type("ConfigMap")])


def test_pods_stay_on_nodes_that_can_mount() -> None:
    required = volumes(with_volume(nodeSelector={"storage": "nfs"}))["shop"]["nodeAffinity"]["required"]
    (term,) = required["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "storage", "operator": "In", "values": ["nfs"]}]
    assert "nodeAffinity" not in volumes(with_volume())["shop"]


def test_retain_keeps_both_volumes() -> None:
    record = Registered()
    config = {**CONFIG, "kube-registry:retain": "true", "kube-registry:sharedVolume": '{"size": "1Gi"}'}
    with described(Monitor(record), config):
        retained = {each.name for each in record.requests if each.retainOnDelete}
    assert retained == {
        "registry-namespace",
        "registry-claim",
        "shared-volume-server-namespace",
        "shared-volume-server-claim",
    }


def test_an_argument_of_the_registry_makes_one_for_programs_in_every_language() -> None:
    record = registered(lambda: ClusterRegistry("r", kube_context="prod", shared_volume={"size": "1Gi"}))
    assert set(inputs(record, "kubernetes:core/v1:PersistentVolume")) == {"r-shared-volume-probe-volume"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": "many"}, "size: 'many' is not allowed"),
        ({"exposure": "loadBalancer"}, "exposure: 'loadBalancer' is not allowed"),
        ({"namespace": "kube-registry"}, "the registry has this namespace"),
        ({"exposure": "nodeProxy", "port": 30100}, "the registry has this port"),
        ({"sise": "1Gi"}, "sise: there is no such setting"),
    ],
)
def test_a_wrong_argument_is_named(arguments: SharedVolumeArgs, words: str) -> None:
    def program() -> None:
        SharedVolume("v", arguments, registry=ClusterRegistry("registry", kube_context="prod"))

    with pytest.raises(pulumi.RunError, match=words) as failed:
        registered(program)
    assert "SharedVolume 'v'" in str(failed.value)


def test_a_registry_is_required() -> None:
    with pytest.raises(pulumi.RunError, match="registry: it is missing"):
        registered(lambda: SharedVolume("v", size="1Gi"))


def test_every_namespace_can_have_a_claim() -> None:
    """Resources of the server have names of their own."""
    names = ("probe", "server", "server-probe")
    record = with_volume(claims=dict.fromkeys(names, "1Gi"))
    urns = [(each.parent, each.type, each.name) for each in record.requests]
    assert len(set(urns)) == len(urns)
    assert set(volumes(record)) == {*names, "kube-registry-shared"}


@pytest.mark.parametrize(("name", "claim"), [("My_Notes", "my-notes"), ("notes.2", "notes-2"), ("__", "shared-volume")])
def test_the_claims_have_a_name_that_kubernetes_accepts(name: str, claim: str) -> None:
    def program() -> None:
        SharedVolume(name, claims={"shop": "1Gi"}, registry=ClusterRegistry("registry", kube_context="prod"))

    (found,) = (
        each["metadata"]["name"]
        for each in registered(program).of_type("PersistentVolumeClaim")
        if each["metadata"]["namespace"] == "shop"
    )
    assert found == claim


def test_persistent_volumes_of_different_claims_have_different_names() -> None:
    def named(namespace: str, claims: str) -> set[str]:
        record = with_volume(namespace=namespace, claims={claims: "1Gi"})
        return {each["metadata"]["name"] for each in record.of_type("PersistentVolume")}

    assert named("a", "b-c").isdisjoint(named("a-b", "c"))


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({}, "namespace: 'kube-registry-shared' is not allowed: SharedVolume 'a' has this namespace"),
        ({"namespace": "b", "exposure": "nodePort"}, "port: 32049 is not allowed: SharedVolume 'a' has this port"),
    ],
)
def test_two_of_a_registry_have_different_namespaces_and_ports(second: SharedVolumeArgs, words: str) -> None:
    def program() -> None:
        registry = ClusterRegistry("registry", kube_context="prod")
        SharedVolume("a", exposure="nodeProxy", registry=registry)
        SharedVolume("b", second, registry=registry)

    with pytest.raises(pulumi.RunError, match=words):
        registered(program)


def test_two_of_a_registry_with_cluster_ips_may_have_the_same_port() -> None:
    def program() -> None:
        registry = ClusterRegistry("registry", kube_context="prod")
        SharedVolume("a", registry=registry)
        SharedVolume("b", namespace="b", registry=registry)

    assert len(registered(program).of_type("PersistentVolume")) == 2


def test_a_registry_with_a_bucket_retains_its_shared_volume() -> None:
    record = Registered()
    given = {"s3": '{"bucket": "images", "region": "eu"}', "retain": "true", "sharedVolume": '{"size": "1Gi"}'}
    with described(Monitor(record), {**CONFIG, **{f"kube-registry:{key}": each for key, each in given.items()}}):
        retained = {each.name for each in record.requests if each.retainOnDelete}
    assert {"shared-volume-server-namespace", "shared-volume-server-claim"} <= retained


def test_a_program_with_a_bucket_retains_its_own_shared_volume() -> None:
    def program() -> None:
        registry = ClusterRegistry(
            "registry", kube_context="prod", s3={"bucket": "images", "region": "eu"}, retain=True
        )
        SharedVolume("notes", registry=registry)

    retained = {each.name for each in registered(program).requests if each.retainOnDelete}
    assert {"notes-server-namespace", "notes-server-claim"} <= retained


@pytest.mark.parametrize(
    ("namespace", "size"), [("A_b", "1Gi"), ("shop", "5GB"), (pulumi.Output.from_input("a"), "1Gi")]
)
def test_a_claim_is_checked_as_the_arguments_are(namespace: str, size: str) -> None:
    def program() -> None:
        registry = ClusterRegistry("registry", kube_context="prod")
        with pytest.raises(pulumi.RunError, match="claims"):
            SharedVolume("notes", registry=registry).claim(namespace, size)

    registered(program)


def test_other_mount_options_replace_a_volume_and_another_size_of_a_claim_does_not() -> None:
    record = with_volume()
    (volume,) = (each for each in record.requests if each.name == "shared-volume-shop-volume")
    assert list(volume.replaceOnChanges) == ["spec.mountOptions", "spec.nodeAffinity"]
    assert volume.deleteBeforeReplace
    (claim,) = (each for each in record.requests if each.name == "shared-volume-shop-claim")
    assert (list(volume.ignoreChanges), list(claim.ignoreChanges)) == (["spec.capacity"], ["spec.resources"])
