"""A build context is read once in a run: with ten thousand files, a second time takes a quarter of a second."""

import json
from collections.abc import Callable

import pytest

from components import registry_image
from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from kube_registry.build.build import Build, read_build
from tests.components.test_program import CONFIG, WITH_SECRETS, Monitor, Registered, described, ours

IMAGE = {"context": "./app", "target": "run", "buildArgs": {"NODE": 20}}
OPTIONS = {**CONFIG, "kube-registry:images": json.dumps({"app": IMAGE}), "kube-registry:platform": "linux/arm64"}


def of_component() -> None:
    ClusterRegistry("r", kube_context="prod", images={"app": {"context": "./app", "build_args": {"NODE": "20"}}})


def on_another_platform() -> None:
    registry = ClusterRegistry("r", kube_context="prod", images={"app": {"context": "./app"}})
    RegistryImage("other", registry=registry, repository="app", context="./app", platform="linux/arm64")


@pytest.mark.parametrize(
    ("config", "secret", "program", "again"),
    [
        (CONFIG, (), ours, 0),
        (OPTIONS, (), ours, 0),
        (WITH_SECRETS, ("kube-registry:images",), ours, 0),
        ({}, (), of_component, 0),
        ({}, (), on_another_platform, 1),
    ],
    ids=["config", "options", "secret", "component", "another platform"],
)
def test_a_build_context_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, str],
    secret: tuple[str, ...],
    program: Callable[[], object],
    again: int,
) -> None:
    read: list[Build] = []

    def reading(*args: object) -> Build:
        read.append(read_build(*args))  # type: ignore[arg-type]
        return read[-1]

    monkeypatch.setattr(registry_image, "read_build", reading)
    with described(Monitor(Registered()), config, secret, program=program):
        assert len(read) == again
