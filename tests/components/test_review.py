"""Faults that a review found; each fails."""

import asyncio
from typing import Any

import pulumi
import pulumi_docker as docker
import pulumi_kubernetes as kubernetes
import pytest
from pulumi.runtime import rpc

from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from tests.components.test_library import CONTENTS, inputs, registered, unknown


@pytest.mark.parametrize("given", [None, ""])
def test_no_kubeconfig_and_no_kube_context_is_refused(given: Any) -> None:
    with pytest.raises(pulumi.RunError):
        registered(lambda: ClusterRegistry("registry", kubeconfig=given))


def test_registry_image_without_registry() -> None:
    with pytest.raises(pulumi.RunError):
        registered(lambda: RegistryImage("app", context="./app"))


@pytest.mark.parametrize("key", ["platform", "repository", "build_args", "target"])
def test_image_argument_none_is_not_given(key: str) -> None:
    def program() -> None:
        r = ClusterRegistry("registry", kube_context="prod")
        RegistryImage("app", registry=r, **({"context": "./app"} | {key: None}))  # type: ignore[arg-type]
    registered(program)


def test_image_platform_is_checked() -> None:
    def program() -> None:
        r = ClusterRegistry("registry", kube_context="prod")
        RegistryImage("app", registry=r, context="./app", platform="amd64")
    with pytest.raises(pulumi.RunError):
        registered(program)


def test_images_none() -> None:
    registered(lambda: ClusterRegistry("registry", kube_context="prod", images={"app": None}))  # type: ignore


def test_images_output() -> None:
    with pytest.raises(pulumi.RunError) as e:
        registered(lambda: ClusterRegistry("registry", kube_context="prod", images=pulumi.Output.secret({"app": {"context": "./app"}})))  # type: ignore
    print(e.value)


def test_namespace_output() -> None:
    with pytest.raises(pulumi.RunError) as e:
        registered(lambda: ClusterRegistry("registry", kube_context="prod", namespace=pulumi.Output.from_input("x")))  # type: ignore
    print(e.value)
    assert "\n" not in str(e.value)


def test_kube_context_output() -> None:
    with pytest.raises(pulumi.RunError) as e:
        registered(lambda: ClusterRegistry("registry", kube_context=pulumi.Output.from_input("x")))  # type: ignore
    print(e.value)
    assert "\n" not in str(e.value)


def test_secret_build_arg_output() -> None:
    def program() -> None:
        r = ClusterRegistry("registry", kube_context="prod")
        RegistryImage("app", registry=r, context="./app", secret_build_args={"T": pulumi.Output.secret("x")})  # type: ignore
    registered(program)


def test_build_arg_number() -> None:
    def program() -> None:
        r = ClusterRegistry("registry", kube_context="prod")
        RegistryImage("app", registry=r, context="./app", build_args={"T": 1.0})  # type: ignore
    registered(program)


def test_no_images_references_is_map() -> None:
    seen: list[Any] = []
    def program() -> None:
        ClusterRegistry("registry", kube_context="prod").references.apply(seen.append)
    registered(program)
    assert seen == [{}]


def test_brought_by_parent_and_dict() -> None:
    def program() -> None:
        k = kubernetes.Provider("mine", context="prod")
        d = docker.Provider("mine-d")
        ClusterRegistry("registry", kube_context="prod", opts=pulumi.ResourceOptions(providers={"kubernetes": k}))
    record = registered(program)
    ns = [each for each in record.requests if each.type == "kubernetes:core/v1:Namespace"]
    print(ns[0].provider, [(e.type, e.name) for e in record.requests])
    assert "mine" in ns[0].provider


def test_same_name_below_two_parents() -> None:
    class Place(pulumi.ComponentResource):
        def __init__(self, name: str) -> None:
            super().__init__("test:index:Place", name)
            ClusterRegistry("registry", kube_context=name, opts=pulumi.ResourceOptions(parent=self))
    def program() -> None:
        Place("a"); Place("b")
    record = registered(program)
    names = [(e.type, e.name) for e in record.requests if not e.parent or "Stack" in e.parent]
    assert len(set(names)) == len(names), names


def test_kubeconfig_dict() -> None:
    import json
    registered(lambda: ClusterRegistry("registry", kubeconfig=json.loads(CONTENTS)))
