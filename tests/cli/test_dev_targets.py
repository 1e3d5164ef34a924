"""The stacks that `registryctl dev` works on, from what `pulumi` answers."""

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kube_registry.cli.dev_targets import find_names, target_of
from kube_registry.cli.errors import StackError
from kube_registry.dev.files import ImageSource
from kube_registry.engine.program import Program
from kube_registry.fleet.errors import FleetError
from kube_registry.spec.sections import ImageSettings

Answers = Callable[..., None]

REGISTRY = "urn:pulumi:dev::shop::kube-registry:index:ClusterRegistry::"
IMAGE = "urn:pulumi:dev::shop::kube-registry:index:RegistryImage::"
DIGEST = "sha256:" + "a" * 64
HIDDEN = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
OWN = "name: shop\nruntime: python\nconfig: {kubeContext: {type: string}, images: {type: object}}\n"
FLEET = "defaults: {kubeContext: prod, images: {app: {}}}\nstacks: [{name: eu-1}, {name: eu-2}, {name: us-1}]\n"


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Chooses what `pulumi` prints for commands, by their words."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def answer(**printed: object) -> None:
        texts = {"version": "v3.300.0"}
        texts |= {words: text if isinstance(text, str) else json.dumps(text) for words, text in printed.items()}
        cases = "".join(f'  "{words}"*) echo {shlex.quote(text)};;\n' for words, text in texts.items())
        script = tmp_path / "bin" / "pulumi"
        script.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}  *) echo "error: unexpected: $*" >&2; exit 1;;\nesac\n')
        script.chmod(0o755)

    return answer


def names(folder: Path, stack: str | None = None, glob: str | None = None) -> list[str]:
    return asyncio.run(find_names(stack, glob, folder))


def images(folder: Path, *resources: dict[str, Any]) -> dict[str, ImageSource]:
    async def found() -> dict[str, ImageSource]:
        return dict(await target_of("dev", Program(folder), configured=False).images(resources))

    return asyncio.run(found())


def deployed(name: str, registry: str = "registry", **build: object) -> list[dict[str, Any]]:
    outputs = {
        "registry": f"{REGISTRY}{registry}",
        "repository": f"{name}-repository",
        "reference": f"localhost:30100/app:0123456789abcdef@{DIGEST}",
        "build": {"context": "./app", "dockerfile": "Dockerfile", "buildArgs": {}, "platform": "linux/arm64", **build},
    }
    built = {"type": "docker:index/image:Image", "urn": f"{IMAGE}{name}-built", "parent": f"{IMAGE}{name}"}
    return [{"type": "kube-registry:index:RegistryImage", "urn": f"{IMAGE}{name}", "outputs": outputs}, built]


def component(name: str = "registry") -> dict[str, Any]:
    return {"type": "kube-registry:index:ClusterRegistry", "urn": f"{REGISTRY}{name}", "outputs": {}}


class TestNames:
    def test_the_selected_stack_or_the_given_one(self, answers: Answers, tmp_path: Path) -> None:
        answers(**{"stack --show-name": "dev"})
        assert names(tmp_path) == ["dev"]
        assert names(tmp_path, "other") == ["other"]

    def test_a_glob_selects_stacks_of_the_program(self, answers: Answers, tmp_path: Path) -> None:
        answers(**{"stack ls --json": [{"name": "eu-1"}, {"name": "us-1"}, {"name": "eu-2"}]})
        assert names(tmp_path, glob="eu-*") == ["eu-1", "eu-2"]
        with pytest.raises(StackError, match="no stack has a name like asia-"):
            names(tmp_path, glob="asia-*")

    def test_a_glob_selects_stacks_of_the_fleet_if_there_is_one(self, answers: Answers, tmp_path: Path) -> None:
        answers()
        (tmp_path / "Pulumi.yaml").write_text(OWN)
        (tmp_path / "fleet.yaml").write_text(FLEET)
        assert names(tmp_path, glob="eu-*") == ["eu-1", "eu-2"]
        with pytest.raises(FleetError):
            names(tmp_path, glob="asia-*")


class TestImages:
    def test_they_are_those_of_an_update(self, answers: Answers, tmp_path: Path) -> None:
        answers()
        settings = ImageSettings(context="./app")
        assert images(tmp_path, component(), *deployed("app")) == {
            "app": ImageSource(
                "app-repository", settings, "linux/arm64", f"{IMAGE}app-built", "registry", "0123456789abcdef"
            )
        }

    def test_before_the_first_update_they_are_those_of_the_state(self, answers: Answers, tmp_path: Path) -> None:
        answers(**{"stack export": {"deployment": {"resources": [component(), *deployed("app")]}}})
        assert images(tmp_path)["app"].repository == "app-repository"

    def test_the_tag_is_unknown_if_a_build_argument_is_secret(self, answers: Answers, tmp_path: Path) -> None:
        answers()
        found = images(tmp_path, component(), *deployed("app", buildArgs={"TOKEN": HIDDEN, "LEVEL": "1"}))["app"]
        assert (found.settings.build_args, found.tag) == ({"TOKEN": "", "LEVEL": "1"}, None)

    def test_several_registries_have_their_own_images(self, answers: Answers, tmp_path: Path) -> None:
        answers()
        resources = [component("a"), component("b"), *deployed("one", "a"), *deployed("two", "b")]
        assert {name: found.registry for name, found in images(tmp_path, *resources).items()} == {
            "one": "a",
            "two": "b",
        }

    def test_an_update_without_images_has_none(self, answers: Answers, tmp_path: Path) -> None:
        answers()
        assert images(tmp_path, component()) == {}

    def test_those_of_this_program_are_in_its_config(self, answers: Answers, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").write_text(OWN)
        config = {
            "shop:kubeContext": {"value": "prod", "secret": False},
            "shop:images": {"value": '{"web": {"context": "./web"}}', "objectValue": {"web": {"context": "./web"}}},
        }
        answers(**{"config --json": config})
        found = images(tmp_path)
        assert found.keys() == {"web"}
        assert found["web"].settings.context == "./web"
        assert found["web"].urn.endswith("docker:index/image:Image::web")
