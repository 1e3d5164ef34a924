"""The components in a program that is not ours."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc

from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from tests.components.test_program import Monitor, Registered, described

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "mine",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "s3cr3t0fMine"}}],
    "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "u"}}],
}
CONTENTS = json.dumps(KUBECONFIG)


def registered(program: Callable[[], object]) -> Registered:
    record = Registered()
    with described(Monitor(record), {}, program=program):
        return record


def inputs(record: Registered, kind: str) -> dict[str, Mapping[str, Any]]:
    """Inputs of the resources of a type, by name."""
    found = [each for each in record.requests if each.type.endswith(kind)]
    return {each.name: rpc.deserialize_properties(each.object, keep_unknowns=True) for each in found}


def test_one_statement_for_the_registry_and_one_for_each_image() -> None:
    references: list[str] = []

    def program() -> None:
        registry = ClusterRegistry("registry", kube_context="prod")
        references.append(RegistryImage("app", registry=registry, context="./app").tagged)

    record = registered(program)
    assert set(inputs(record, "docker:index/image:Image")) == {"app"}
    assert references[0].startswith("localhost:30100/app:")
    assert {"cluster", "builder"} == {each.name for each in record.requests if each.type.startswith("pulumi:providers")}


def test_two_registries_share_no_name_and_no_push_port() -> None:
    ports: set[str] = set()

    def program() -> None:
        for name in ("east", "west"):
            registry = ClusterRegistry(name, kube_context=name, images={"app": {"context": "./app"}})
            ports.add(registry.push_address)

    record = registered(program)
    urns = [f"{each.parent}::{each.type}::{each.name}" for each in record.requests]
    names = [(each.type, each.name) for each in record.requests]
    hooks = [hook for each in record.requests for hook in each.hooks.before_create]
    assert len(set(names)) == len(names), urns
    assert len(ports) == 2
    assert {hook.partition(":")[0] for hook in hooks} == {"east", "west"}
    contexts = {name: given["context"] for name, given in inputs(record, "pulumi:providers:kubernetes").items()}
    assert contexts == {"east-cluster": "east", "west-cluster": "west"}


def test_images_of_a_registry_have_their_references_in_its_outputs() -> None:
    made: list[ClusterRegistry] = []
    record = registered(
        lambda: made.append(ClusterRegistry("r", kube_context="prod", images={"team/app": {"context": "./app"}}))
    )
    (outputs,) = (found for urn, found in record.outputs.items() if urn.endswith("RegistryImage::r-team/app"))
    assert outputs["repository"] == "team/app"
    assert isinstance(made[0].references, pulumi.Output)
    assert [name.split("/")[-1].partition(":")[0] for name in image_names(record)] == ["app"]


def image_names(record: Registered) -> list[str]:
    return [given["imageName"] for given in inputs(record, "docker:index/image:Image").values()]


def unknown() -> pulumi.Output[str]:
    """An output of a resource that a preview would make."""
    value, known = asyncio.Future[str](), asyncio.Future[bool]()
    value.set_result("")
    known.set_result(False)
    return pulumi.Output(set(), value, known)


class TestKubeconfig:
    """What names the cluster may be made by the same program."""

    @staticmethod
    def provider(kubeconfig: pulumi.Input[str], **more: str) -> Mapping[str, Any]:
        record = registered(lambda: ClusterRegistry("registry", kubeconfig=kubeconfig, **more))  # type: ignore[arg-type]
        (given,) = inputs(record, "pulumi:providers:kubernetes").values()
        return given

    def test_contents_are_a_secret(self) -> None:
        assert rpc.is_rpc_secret(self.provider(CONTENTS)["kubeconfig"])

    def test_an_output_is_a_secret_and_may_be_unknown_yet(self) -> None:
        def program() -> None:
            ClusterRegistry("registry", kubeconfig=unknown())

        record = registered(program)
        (given,) = inputs(record, "pulumi:providers:kubernetes").values()
        assert isinstance(given["kubeconfig"], pulumi.output.Unknown) or rpc.is_rpc_secret(given["kubeconfig"])
        assert given["clusterIdentifier"] == "kube-registry-dev-registry"
        assert "registry-deployment" in inputs(record, "Deployment")

    def test_a_path_stays_a_path(self, tmp_path: Path) -> None:
        file = tmp_path / "config"
        file.write_text(CONTENTS)
        given = self.provider(str(file))
        assert given["kubeconfig"] == str(file)

    def test_the_identifier_is_plain(self) -> None:
        assert self.provider(CONTENTS, kube_context="mine")["clusterIdentifier"] == "mine"
        assert self.provider(CONTENTS)["clusterIdentifier"] == "kube-registry-dev-registry"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"kube_context": "x", "node_port": "many"}, "nodePort"),
        ({"kube_context": "x", "node_prot": 30100}, "nodeProt"),
        ({"node_port": 30100}, "kubeContext"),
        ({"kube_context": "x", "claim": {"size": "big"}}, "claim.size"),
        ({"kube_context": "x", "images": {"APP": {"context": "./app"}}}, "images.APP"),
        ({"kube_context": "x", "images": {"app": {"contxt": "./app"}}}, "images.app.contxt"),
    ],
)
def test_a_wrong_argument_ends_the_program_in_one_sentence(given: dict[str, Any], key: str) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        registered(lambda: ClusterRegistry("registry", **given))
    assert f"setting {key}: " in str(refused.value)
    assert "Fix: " in str(refused.value)


def test_numbers_of_other_languages_are_whole() -> None:
    tagged: list[str] = []

    def program() -> None:
        registry = ClusterRegistry("registry", kube_context="x", node_port=30111.0)  # type: ignore[arg-type]
        tagged.append(registry.pull_host)

    registered(program)
    assert tagged == ["localhost:30111"]
