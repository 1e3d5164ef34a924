"""The docker provider that the program registers: which configuration of Docker it reads."""

import asyncio
import json
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime import mocks
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from components.providers import docker_provider
from tests.cluster.test_docker_config import configured, helper


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

    def RegisterResource(self, request: object) -> object:  # noqa: N802 - the name of a gRPC method
        self.mappings |= getattr(request, "envVarMappings", {})
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


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is done when the program ends."""
    ending: list[object] = []
    monkeypatch.setattr("atexit.register", ending.append)
    return ending


def registered() -> dict[str, str]:
    asyncio.set_event_loop(asyncio.new_event_loop())  # which Pulumi's test decorator expects to find
    monitor = Monitor()
    mocks.set_mocks(Engine(), monitor=monitor, preview=False)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        docker_provider()

    run()
    return monitor.mappings


def test_helpers_of_single_registries_change_nothing(home: Path, warnings: list[str], ends: list[object]) -> None:
    helper(home, "desktop", "echo '{}'")
    helper(home, "acr-env", '[ "$1" = get ]')
    configured(home / "docker", {"credsStore": "desktop", "credHelpers": {"a.example": "acr-env", "b.example": "none"}})
    assert registered() == {}
    assert warnings == ends == []
    assert not (home / "config.json").exists()


def test_a_broken_store_is_left_out_and_nothing_else(home: Path, warnings: list[str], ends: list[object]) -> None:
    config = {"credsStore": "gone", "credHelpers": {"a.example": "acr-env"}, "auths": {"c.example": {"auth": "eDp5"}}}
    configured(home / "docker", config)
    assert registered() == {"HOME": "DOCKER_CONFIG"}
    kept = json.loads((home / "config.json").read_text())
    assert {name: kept.get(name) for name in config} == {**config, "credsStore": None}
    assert len(warnings) == 1
    assert "docker-credential-gone" in warnings[0]
    for end in ends:
        end()  # type: ignore[operator]
    assert not (home / "config.json").exists()
