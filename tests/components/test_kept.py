"""What the components keep in the state is what registryctl reads there."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.runtime import rpc

from components.args import ClusterRegistryArgs
from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from kube_registry.spec.settings import RegistrySettings
from tests.components.test_library import CONTENTS, registered

FULL: ClusterRegistryArgs = {
    "kube_context": "prod",
    "namespace": "images",
    "node_port": 30111,
    "push_port": 21000,
    "claim": {"size": "1Gi", "storage_class": "fast"},
    "platform": "linux/arm64",
    "preflight": False,
    "exposure": "nodeProxy",
    "retain": True,
    "local_registry_hosting": True,
    "pod": {
        "node_selector": {"pool/kind": "infra"},
        "tolerations": [{"key": "dedicated", "effect": "NoSchedule", "toleration_seconds": 5}],
        "resources": {"limits": {"memory": "1Gi"}},
        "user": "platform",
    },
    "metrics": {
        "namespace": "monitoring",
        "service_monitor": True,
        "service_monitor_labels": {"release": "kube-prometheus-stack"},
    },
}


def kept(args: ClusterRegistryArgs, **image: Any) -> tuple[RegistrySettings, Mapping[str, Any], Mapping[str, Any]]:  # noqa: ANN401
    """The settings of a registry, and the outputs of its component and of its image's."""
    made: list[ClusterRegistry] = []

    def program() -> None:
        made.append(ClusterRegistry("registry", args))
        RegistryImage("web", registry=made[0], context="./app", **image)

    outputs = registered(program).outputs
    (of_registry,) = (found for urn, found in outputs.items() if urn.endswith("ClusterRegistry::registry"))
    (of_image,) = (found for urn, found in outputs.items() if urn.endswith("RegistryImage::web"))
    return made[0].settings, of_registry, of_image


def secret(value: object) -> Any:  # noqa: ANN401
    """A map with a secret in it, as a plain one; the SDK makes the whole map secret when it reads it."""
    assert rpc.is_rpc_secret(value)
    return rpc.unwrap_rpc_secret(value)


@pytest.mark.parametrize("args", [{"kube_context": "prod"}, FULL])
def test_the_settings_read_from_it_are_the_programs(args: ClusterRegistryArgs) -> None:
    settings, outputs, _ = kept(args)
    read = RegistrySettings.parse(
        outputs["settings"], project="kube-registry", stack="dev", secret=["kubeconfig"], component="registry"
    )
    assert read == settings


def test_contents_of_a_kubeconfig_are_a_secret_and_what_identifies_the_cluster_is_no_kube_context() -> None:
    _, outputs, _ = kept({"kubeconfig": CONTENTS})
    settings = secret(outputs["settings"])
    assert "kubeContext" not in settings
    assert settings["kubeconfig"] == CONTENTS


def test_an_output_is_a_secret_too() -> None:
    def program() -> None:
        ClusterRegistry("registry", kubeconfig=pulumi.Output.from_input(CONTENTS))

    outputs = next(found for urn, found in registered(program).outputs.items() if "ClusterRegistry::" in urn)
    assert secret(outputs["settings"])["kubeconfig"] == CONTENTS


def test_the_path_of_a_kubeconfig_is_kept_without_the_home_folder_of_this_machine() -> None:
    _, outputs, _ = kept({"kube_context": "prod", "kubeconfig": "~/.kube/prod"})
    assert outputs["settings"]["kubeconfig"] == "~/.kube/prod"


def test_an_image_has_its_registry_and_how_it_is_built() -> None:
    _, _, outputs = kept(
        {"kube_context": "prod"}, repository="team/app", build_args={"A": "1"}, secret_build_args={"TOKEN": "s3cr3t"}
    )
    assert outputs["registry"].endswith("kube-registry:index:ClusterRegistry::registry")
    assert outputs["repository"] == "team/app"
    build = secret(outputs["build"])
    assert (build["context"], build["platform"]) == ("./app", "linux/amd64")
    assert build["buildArgs"] == {"A": "1", "TOKEN": "s3cr3t"}
