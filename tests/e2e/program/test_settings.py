"""Wrong settings on the real `pulumi`: the commands that an error prints are run, and then it is gone. No cluster."""

import asyncio
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_registry.cli.errors import StackError
from kube_registry.cli.stacks import find_stack
from kube_registry.engine.program import Program
from kube_registry.fleet.fleet_file import Member, read_fleet
from kube_registry.fleet.stack_config import configure, with_secrets
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import Settings
from lab.parts import PULUMI, of_cluster
from lab.progress import Progress
from lab.pulumi_home import environment
from lab.toolchain import provide
from lab.versions import chosen
from tests.e2e.conftest import CHECKOUT

pytestmark = pytest.mark.lab

SECRET = "s3cr3t-of-npm"  # noqa: S105 - of this test
LEAST: dict[str, Any] = {"kubeContext": "prod", "images": {"app": {"context": "./app"}}}


class Project:
    """The program's Pulumi.yaml with a stack of its own, which is not the selected one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "Pulumi.yaml").write_text((CHECKOUT / "Pulumi.yaml").read_text())
        self.run("pulumi stack init dev --no-select")

    def run(self, line: str) -> str:
        command = ["sh", "-c", line]  # as a person pastes it
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    def write(self, config: Mapping[str, object]) -> None:
        keys = {f"kube-registry:{key}": value for key, value in config.items()}
        self.file.write_text(yaml.safe_dump({**self.kept, "config": keys}))

    @property
    def file(self) -> Path:
        return self.folder / "Pulumi.dev.yaml"

    @property
    def kept(self) -> dict[str, Any]:
        return {key: value for key, value in self.content.items() if key != "config"}

    @property
    def content(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.file.read_text())) if self.file.exists() else {}

    def settings(self, stack: str = "dev") -> Settings:
        return asyncio.run(find_stack(stack, folder=self.folder)).settings


@pytest.fixture(scope="module")
def surroundings() -> Mapping[str, str]:
    provide(Progress(), (*of_cluster(chosen()), PULUMI))
    return environment()


@pytest.fixture
def project(tmp_path: Path, surroundings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "state").mkdir()
    for key, value in {**surroundings, "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}"}.items():
        monkeypatch.setenv(key, value)
    return Project(tmp_path)


def commands_of(error: Exception) -> list[str]:
    """The commands that an error prints."""
    return re.findall(r"`(pulumi [^`]+)`", str(error))


def images(**of_app: object) -> dict[str, Any]:
    return {**LEAST, "images": {"other": {"target": "x"}, "app": of_app}}


WRONG: Mapping[str, dict[str, Any]] = {
    "kubeContext is missing": {**LEAST, "kubeContext": ""},
    "a setting is misspelt": {**LEAST, "storagesize": "20Gi"},
    "a setting is misspelt, with a dot": {**LEAST, "node.port": 30100},
    "a setting is unknown": {**LEAST, "retries": 3},
    "no number": {**LEAST, "nodePort": "many"},
    "no truth value": {**LEAST, "preflight": "perhaps"},
    "a number too large": {**LEAST, "nodePort": 70000},
    "a number that is 0": {**LEAST, "nodePort": 0},
    "a map": {**LEAST, "namespace": {"name": "x"}},
    "a size of 0": {**LEAST, "claim": {"size": 0}},
    "a size of 0, by the old name": {**LEAST, "storageSize": 0},
    "old and new name": {**LEAST, "nodeProxy": True, "exposure": "nodeProxy"},
    "no exposure": {**LEAST, "exposure": "loadBalancer"},
    "images are missing": {"kubeContext": "prod"},
    "images are none": {**LEAST, "images": {}},
    "images are a list": {**LEAST, "images": [{"name": "app"}]},
    "images are a text": {**LEAST, "images": "app"},
    "an image's name": {**LEAST, "images": {"Team/App": {"context": "./x", "buildArgs": {"V": 1}}, "team/app": {}}},
    "the preflight's name": {**LEAST, "images": {"kube-registry/preflight": None}},
    "a long name": {**LEAST, "images": {"a" * 256: {}}},
    "an image's name, and a setting of it that does not exist": {**LEAST, "images": {"App": {"labels": {"a": 1}}}},
    "a path without --path": {**LEAST, "images.app.context": "./x"},
    "an image is a text": {**LEAST, "images": {"app": "./app", "other": {}}},
    "an image is a list": {**LEAST, "images": {"app": ["./app"]}},
    "a setting of an image is misspelt": images(dockerFile="Dockerfile.dev"),
    "build arguments are misspelt": images(buildargs={"VERSION": "1.10", "A B": True}),
    "a setting of an image is a list": images(context=["./app"]),
    "build arguments are a list": images(buildArgs=["VERSION=1"]),
    "build arguments are a text": images(buildArgs="VERSION=1"),
    "a build argument is a list": images(buildArgs={"NODE_VERSION": [20], "KEPT": "1"}),
    "a build argument is a map": images(buildArgs={"NODE.VERSION": {"major": 20}}),
}


@pytest.mark.parametrize("config", WRONG.values(), ids=WRONG.keys())
def test_the_commands_of_an_error_correct_a_setting_and_no_other(project: Project, config: dict[str, Any]) -> None:
    project.write(config)
    with pytest.raises(SettingsError) as raised:
        project.settings()
    lines = commands_of(raised.value)
    assert lines
    for line in lines:
        project.run(line)
    assert project.settings().kube_context


def test_a_misspelt_key_keeps_its_value(project: Project) -> None:
    project.write({**images(buildargs={"VERSION": "1.10", "A B": True}), "storagesize": "20Gi"})
    for _ in range(2):
        with pytest.raises(SettingsError) as raised:
            project.settings()
        for line in commands_of(raised.value):
            project.run(line)
    settings = project.settings()
    assert settings.claim.size == "20Gi"
    assert settings.images["app"].build_args == {"VERSION": "1.10", "A B": "true"}


def test_an_image_under_another_name_keeps_its_settings_and_replaces_none(project: Project) -> None:
    project.write({**LEAST, "images": {"Team/App": {"context": "./x", "buildArgs": {"V": 1}}, "team/app": {}}})
    with pytest.raises(SettingsError) as raised:
        project.settings()
    for line in commands_of(raised.value):
        project.run(line)
    found = project.settings().images
    assert found["team/app"] == ImageSettings()
    assert found["team/app-2"] == ImageSettings(context="./x", build_args={"V": "1"})


@pytest.mark.parametrize(
    "path",
    [
        "--path images.app.buildargs",
        "--path images.App.buildArgs",
        "--path images.App.buildargs",
        "images.app.buildArgs",
    ],
)
def test_a_secret_is_moved_and_never_repeated(project: Project, path: str) -> None:
    project.write({"kubeContext": "prod"})
    project.run(f"pulumi config set --stack dev --secret {path}.NPM_TOKEN {SECRET}")
    with pytest.raises(SettingsError) as raised:
        project.settings()
    assert SECRET not in str(raised.value)
    for line in commands_of(raised.value):
        project.run(line)
    assert project.settings().images["app"].build_args == {"NPM_TOKEN": SECRET}
    assert SECRET not in project.file.read_text()


@pytest.mark.parametrize("secret", ["nodePort", "images", "images.app.context[0]", "images.App.context"])
def test_no_error_shows_a_value_of_a_secret_key(project: Project, secret: str) -> None:
    project.write({"kubeContext": "prod"})
    project.run(f"pulumi config set --stack dev --secret --path '{secret}' {SECRET}")
    with pytest.raises(SettingsError) as raised:
        project.settings()
    assert SECRET not in str(raised.value)


def test_a_stack_that_is_not_there_is_made_by_the_command(project: Project) -> None:
    with pytest.raises(StackError) as raised:
        project.settings("nope")
    _, line = commands_of(raised.value)
    project.run(line)
    with pytest.raises(SettingsError):  # it has none yet
        project.settings("nope")


def test_numbers_and_truth_values_become_build_arguments(project: Project) -> None:
    project.write(LEAST)
    for key, value in {"NODE_VERSION": "20", "PYTHON": "3.10", "UMASK": "010", "DEBUG": "true", "NAME": "no"}.items():
        project.run(f"pulumi config set --stack dev --path images.app.buildArgs.{key} {value}")
    assert project.settings().images["app"].build_args == {
        "NODE_VERSION": "20",
        "PYTHON": "3.10",
        "UMASK": "010",
        "DEBUG": "true",
        "NAME": "no",
    }


class TestFleet:
    def member(self, project: Project, text: str) -> Member:
        (project.folder / "fleet.yaml").write_text(text)
        (member,) = read_fleet(project.folder).members
        assert self.configure(project, member)
        return member

    def configure(self, project: Project, member: Member) -> bool:
        return asyncio.run(configure(Program(project.folder), member))

    def test_what_is_written_is_read_as_it_was_meant(self, project: Project) -> None:
        member = self.member(
            project,
            "defaults: {storageClass: fast, images: {app: {buildArgs: {A: 1.10, B: 010, C: no, D: x}}}}\n"
            "stacks: [{name: dev, kubeContext: prod, storageClass: , preflight: 0, nodePort: 30111,\n"
            "  images: {app: {buildArgs: {D: , E: '', F: 1e3, G: 2024-01-01}}}}]\n",
        )
        settings = project.settings()
        assert settings == member.settings
        assert settings.images["app"].build_args == {
            "A": "1.10",
            "B": "010",
            "C": "no",
            "E": "",
            "F": "1e3",
            "G": "2024-01-01",
        }
        assert settings.claim.storage_class is None
        assert settings.preflight is False
        assert not self.configure(project, member)

    def test_secrets_that_only_the_file_has_stay_and_are_known(self, project: Project) -> None:
        project.write({**LEAST, "registryImage": "gone", "images": {"gone": {}, "app": {"buildArgs": {"OLD": "1"}}}})
        for path in (
            "images.app.buildArgs.NPM_TOKEN",
            "images.app.buildArgs.A",
            "images.gone.buildArgs.X",
            "namespace",
        ):
            value = "of-a-secret" if path == "namespace" else SECRET
            project.run(f"pulumi config set --stack dev --secret --path {path} {value}")
        member = self.member(
            project,
            "stacks: [{name: dev, kubeContext: prod, images: {app: {context: ./app, buildArgs: {A: plain}}}}]\n",
        )
        known = asyncio.run(with_secrets(Program(project.folder), member)).settings
        assert known.namespace == "of-a-secret"
        assert known.images.keys() == {"app"}
        assert known.images["app"].build_args == {"NPM_TOKEN": SECRET, "A": "plain"}
        assert known.has_secret_build_args
        assert project.settings() == known
        assert SECRET not in project.file.read_text()
        assert not self.configure(project, member)
        assert member.settings.images["app"].build_args == {"A": "plain"}
