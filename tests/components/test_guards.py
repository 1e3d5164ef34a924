"""The line that takes a namespace over, of a registry in a program that is not ours."""

import re

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components import guards
from components.cluster_registry import ClusterRegistry
from kube_registry.spec.cluster_address import ClusterAddress
from tests.components.test_program import Monitor, Registered, described

NAMESPACE = "kubernetes:core/v1:Namespace"


def test_it_names_parent_and_provider_as_they_are_called_there(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    async def taken(_: ClusterAddress, import_command: str, _option: str) -> None:
        lines.append(import_command)

    monkeypatch.setattr(guards, "prove_namespace_free", taken)

    def program() -> pulumi.Output[None]:
        outer = pulumi.ComponentResource("shop:index:Platform", "platform")
        provider = kubernetes.Provider("theirs")
        opts = pulumi.ResourceOptions(parent=outer, providers=[provider])
        registry = ClusterRegistry("images", opts=opts, kube_context="nowhere")
        (hook,) = guards.namespace_guard("other", registry.cluster, "kube-registry", registry).before_create or []
        assert isinstance(hook, pulumi.ResourceHook)
        inputs = {"metadata": {"name": "kube-registry"}}
        args = pulumi.ResourceHookArgs("", "", "images-namespace", NAMESPACE, inputs)
        return pulumi.Output.from_input(hook.callback(args))

    with described(Monitor(Registered()), {}, program=program):
        pass
    (line,) = lines
    assert f"import {NAMESPACE} images-namespace kube-registry --" in line
    parent, provider = re.findall("='urn:pulumi:dev::kube-registry::(.*?)'", line)
    assert parent.endswith("shop:index:Platform$kube-registry:index:ClusterRegistry::images")
    assert provider.endswith("pulumi:providers:kubernetes::theirs")
