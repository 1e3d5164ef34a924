"""The pack's policies call the rules. That Pulumi starts it cannot be tried under the lab's language host."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import analyzer_pb2_grpc
from pulumi_policy import ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from kube_registry.rules.resource_inputs import UNKNOWN
from kube_registry.rules.rules import RULES
from policy.pack import policies

BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "pull-reference": ("core/v1:Pod", {"spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]}}),
    "no-latest": ("core/v1:Pod", {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}),
    "write-door": (
        "core/v1:Service",
        {"metadata": {"namespace": "kube-registry"}, "spec": {"ports": [{"port": 5000}]}},
    ),
    "node-port": ("core/v1:Service", {"spec": {"ports": [{"port": 80, "nodePort": 80}]}}),
    "privileged": ("core/v1:Pod", {"spec": {"hostNetwork": True}}),
}


def violations(name: str, type_: str, props: dict[str, Any], **config: object) -> list[str]:
    (policy,) = [each for each in policies() if each.name == name]
    found: list[str] = []
    args = ResourceValidationArgs(
        resource_type=f"kubernetes:{type_}",
        props=unknown_checking_proxy(props),
        urn="urn",
        name="it",
        opts=None,  # type: ignore[arg-type]
        provider=None,
        config=config,
    )

    def report(text: str, _urn: str | None) -> None:
        found.append(text)

    assert isinstance(policy, ResourceValidationPolicy)
    policy.validate(args, report)
    return found


@pytest.mark.parametrize("name", RULES)
def test_each_rule_is_a_policy_that_reports_what_breaks_it(name: str) -> None:
    type_, props = BROKEN[name]
    assert len(violations(name, type_, props)) == 1


def test_its_config_stands_for_the_stacks_settings() -> None:
    props = {"spec": {"containers": [{"name": "web", "image": "localhost:30007/app:0123456789abcdef"}]}}
    assert len(violations("pull-reference", "core/v1:Pod", props)) == 1
    assert violations("pull-reference", "core/v1:Pod", props, nodePort=30007) == []


def test_its_config_takes_other_registries() -> None:
    image = f"postgres:16@sha256:{'0' * 64}"
    props = {"spec": {"containers": [{"name": "web", "image": image}]}}
    assert len(violations("pull-reference", "core/v1:Pod", props)) == 1
    assert violations("pull-reference", "core/v1:Pod", props, allowedRegistries=["postgres"]) == []


def test_it_says_what_it_does_not_look_at() -> None:
    assert all("Helm release" in str(each.description) for each in policies())


def test_what_is_not_known_yet_breaks_nothing() -> None:
    assert UNKNOWN == UNKNOWN_STRING_VALUE
    props = {"spec": {"containers": [{"name": "web", "image": UNKNOWN_STRING_VALUE}], "hostNetwork": False}}
    for name in RULES:
        assert violations(name, "core/v1:Pod", props) == []


def test_it_serves_all_of_them_when_it_is_started_from_its_own_folder() -> None:
    folder = Path(__file__).parents[2] / "policy"
    command = [sys.executable, "-u", "__main__.py"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            with grpc.insecure_channel(f"127.0.0.1:{int(running.stdout.readline())}") as channel:
                info = analyzer_pb2_grpc.AnalyzerStub(channel).GetAnalyzerInfo(Empty(), timeout=20)
        finally:
            running.terminate()
    assert [policy.name for policy in info.policies] == list(RULES)
