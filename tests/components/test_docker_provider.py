"""The docker provider that the program registers: which configuration of Docker it reads."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, rpc
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from components.providers import docker_provider
from kube_registry.docker_daemon.config import broken_store
from kube_registry.docker_daemon.config_copy import config_copy
from tests.docker_daemon.test_config import configured, helper


class Engine(Mocks):
    """Answers nothing and keeps nothing."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, object], None]:
        raise AssertionError(args.token)

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, object]]:
        return args.name, dict(args.inputs)


class Monitor(mocks.MockMonitor):
    """Remembers which variables the provider gets."""

    def __init__(self) -> None:
        super().__init__(Engine())
        self.mappings: dict[str, str] = {}
        self.inputs: dict[str, object] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - the name and shape of a gRPC method
        self.mappings |= request.envVarMappings
        self.inputs |= rpc.deserialize_properties(request.object)
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, which is on PATH too."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    return tmp_path


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda line, *_: said.append(line))
    return said


def registered() -> tuple[dict[str, str], dict[str, object]]:
    """The provider's variables and inputs."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # which Pulumi's test decorator expects to find
    monitor = Monitor()
    mocks.set_mocks(Engine(), monitor=monitor, preview=False)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        docker_provider("builder", broken_store(os.environ), [])

    try:
        run()
    finally:
        loop.close()
    return monitor.mappings, {name: value for name, value in monitor.inputs.items() if name != "version"}


def test_helpers_of_single_registries_change_nothing(home: Path, warnings: list[str]) -> None:
    helper(home, "desktop", "echo '{}'")
    helper(home, "acr-env", '[ "$1" = get ]')
    configured(home / "docker", {"credsStore": "desktop", "credHelpers": {"a.example": "acr-env", "b.example": "none"}})
    assert registered() == ({}, {"host": ""})
    assert warnings == []


def test_a_broken_store_leads_the_provider_to_a_copy_by_a_change_that_the_engine_sees(
    home: Path, warnings: list[str]
) -> None:
    configured(home / "docker", {"credsStore": "gone"})
    mappings, inputs = registered()
    assert mappings == {"HOME": "DOCKER_CONFIG"}
    assert inputs != {"host": ""}
    assert len(warnings) == 1
    assert "docker-credential-gone" in warnings[0]


def test_what_a_killed_run_has_left_is_taken_away(home: Path) -> None:
    with config_copy(home, {}):
        left = (home / "config.json").read_text()
    (home / "config.json").write_text(left)
    registered()
    assert not (home / "config.json").exists()
