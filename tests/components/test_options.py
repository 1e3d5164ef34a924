"""What Pulumi's users give any component: options, and arguments in the ways that Python allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from tests.components.test_arguments import output, refusal, registry
from tests.components.test_library import image_names, inputs, registered


def test_what_a_component_retains_is_all_that_it_has() -> None:
    """An option that is set to False, as by a namespace, is not taken from the parent (source_eval.go of 3.274)."""
    record = registered(lambda: registry(opts=pulumi.ResourceOptions(retain_on_delete=True)))
    chosen = {each.name: each.retainOnDelete for each in record.requests if each.HasField("retainOnDelete")}
    assert chosen == {"registry": True}


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (lambda: ClusterRegistry("registry", kubeContext="prod", kubeconfig="/nowhere"), "kube_context"),  # type: ignore[call-arg]
        (lambda: registry(images={"app": {"secretBuildArgs": {"A": "s3cr3t"}}}), "secret_build_args"),
        (lambda: RegistryImage("app", registry=registry(), secretBuildArgs={"A": "s3cr3t"}), "secret_build_args"),  # type: ignore[call-arg]
    ],
)
def test_names_of_other_languages_are_refused(program: Callable[[], object], name: str) -> None:
    """Passed over, they led to the kubeconfig's current kube context, and to a build argument that was no secret."""
    assert f"its name in Python is {name}. Fix: " in refusal(program)


@pytest.mark.parametrize(
    ("program", "key"),
    [
        (lambda: ClusterRegistry("registry", pulumi.ResourceOptions()), "args"),  # type: ignore[arg-type]
        (lambda: RegistryImage("app", pulumi.ResourceOptions(), registry=registry()), "args"),  # type: ignore[arg-type]
        (lambda: registry(images={"app": "./app"}), "images.app"),
    ],
)
def test_what_is_no_map_of_arguments_is_refused(program: Callable[[], object], key: str) -> None:
    assert f"setting {key}: " in refusal(program)


@pytest.mark.parametrize("empty", [output(""), output(None), output(" "), output({}), " ", {}])
def test_an_empty_kubeconfig_is_refused(empty: Any) -> None:  # noqa: ANN401 - an output that turns out to be empty
    """Another one would be found where kubectl looks for it, such as production's."""
    assert "a kubeconfig" in refusal(lambda: ClusterRegistry("registry", kubeconfig=empty))


def test_a_folder_may_be_a_path() -> None:
    def program() -> None:
        made = registry(images={"one": {"context": Path("app")}})
        RegistryImage("two", registry=made, context=Path("app"))  # type: ignore[arg-type]

    assert len(image_names(registered(program))) == 2
    assert set(inputs(registered(program), "docker:index/image:Image")) == {"registry-one", "two"}
