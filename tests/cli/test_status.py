"""The line that pushes lost images again: one for all of them, to be copied into a shell."""

import shlex

import pytest

from kube_registry.cli.stacks import Stack, push_line
from kube_registry.names import image_urn
from kube_registry.spec.settings import Settings


@pytest.mark.parametrize("name", ["live", "team/shop/live"])
def test_it_names_every_lost_image_of_a_stack_as_pulumi_does(name: str) -> None:
    stack = Stack(
        "shop",
        name,
        Settings.parse({"kubeContext": "prod", "images": {"app": {}}}, project="kube-registry", stack="prod"),
    )
    first, second = (image_urn("shop", "live", image) for image in ("app", "other"))
    words = shlex.split(push_line(stack, ["app", "other"]))
    assert words == ["pulumi", "up", "--stack", name, "--replace", first, "--replace", second]
