"""The registry of any program's stack, from what `pulumi` answers; a real state is read in tests/e2e/library."""

import asyncio
import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kube_registry.cli.errors import StackError
from kube_registry.cli.stack_registry import (
    StackRegistry,
    deployed_images,
    deployed_namespaces,
    find_registry,
    image_builds,
)
from kube_registry.cli.stacks import find_stack
from kube_registry.names import image_urn
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import Settings

Pulumi = Callable[..., None]

STACK = "urn:pulumi:dev::shop::"
REGISTRY = "kube-registry:index:ClusterRegistry"
IMAGE = "kube-registry:index:RegistryImage"
KUBECONFIG = json.dumps({"current-context": "mine", "clusters": [], "contexts": [], "users": []})
SETTINGS = {
    "kubeContext": "prod",
    "namespace": "images",
    "nodePort": 30111,
    "pushPort": 21000,
    "claim": {"size": "1Gi"},
}
BUILD = {"context": "./app", "dockerfile": "Dockerfile", "buildArgs": {}, "platform": "linux/arm64"}
DIGEST = "sha256:" + "a" * 64


def secret(value: object) -> dict[str, str]:
    """A secret as `pulumi stack export --show-secrets` prints it."""
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(value)}


def registry(name: str, settings: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A registry in a state, with its namespace; without settings, one whose first update broke off."""
    urn = f"{STACK}{REGISTRY}::{name}"
    outputs = {"outputs": {"settings": settings}} if settings else {}
    namespace = {"type": "kubernetes:core/v1:Namespace", "parent": urn, "id": (settings or {}).get("namespace", "")}
    return [
        {"urn": urn, "type": REGISTRY, **outputs},
        {"urn": f"{STACK}{REGISTRY}$kubernetes:core/v1:Namespace::{name}-namespace", **namespace},
    ]


def image(name: str, of: str, parents: str = "", repository: str = "app", **build: object) -> list[dict[str, Any]]:
    """An image in a state: its component, and its build and push."""
    urn = f"{STACK}{parents}{IMAGE}::{name}"
    outputs = {
        "registry": f"{STACK}{REGISTRY}::{of}",
        "repository": repository,
        "reference": f"localhost:30111/{repository}:1@{DIGEST}",
        "build": BUILD | build,
    }
    built = {"type": "docker:index/image:Image", "parent": urn}
    return [
        {"urn": urn, "type": IMAGE, "outputs": outputs},
        {"urn": f"{STACK}{parents}{IMAGE}$docker:index/image:Image::{name}", **built},
    ]


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    """Puts a stack with these resources into a program that is not this repository's."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nconfig: {images: {type: integer}}\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)

    def answer(*resources: dict[str, Any]) -> None:
        (tmp_path / "state.json").write_text(json.dumps({"deployment": {"resources": resources}}))
        script = tmp_path / "bin" / "pulumi"
        exported = (
            f'[ "$*" = "stack export --show-secrets --stack dev --non-interactive" ] && cat {tmp_path}/state.json'
        )
        script.write_text(f"#!/bin/sh\n{exported}\n")
        script.chmod(0o755)

    return answer


def found(name: str | None = None, **given: object) -> StackRegistry:
    return asyncio.run(find_registry("dev", name, given))


def references(of: StackRegistry) -> dict[str, str] | None:
    return asyncio.run(deployed_images(of))


def refusal(name: str | None = None) -> StackError:
    with pytest.raises(StackError) as refused:
        found(name)
    return refused.value


class TestSettings:
    def test_they_are_those_of_the_component(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS))
        of = found()
        settings = of.settings
        assert (settings.kube_context, settings.namespace, settings.stack) == ("prod", "images", "dev")
        assert (settings.node_port, settings.push_port, settings.claim.size) == (30111, 21000, "1Gi")
        assert settings.where.stack_option == " --stack dev --registry registry"
        assert settings.component == "registry"

    def test_a_kubeconfig_is_a_secret_and_names_the_kube_context(self, pulumi: Pulumi) -> None:
        kept = {key: value for key, value in SETTINGS.items() if key != "kubeContext"}
        pulumi(*registry("registry", {**kept, "kubeconfig": secret(KUBECONFIG)}))
        assert (found().settings.kube_context, found().settings.kubeconfig) == ("mine", KUBECONFIG)

    def test_options_take_their_place(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS))
        settings = found(namespace="other", pushPort=22000).settings
        assert (settings.namespace, settings.push_port, settings.node_port) == ("other", 22000, 30111)

    def test_a_wrong_option_is_named(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS))
        with pytest.raises(SettingsError) as refused:
            found(namespace="No Name")
        assert (refused.value.key, refused.value.fix) == ("namespace", "use another --namespace")

    def test_those_of_another_version_are_no_fault_of_the_config(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", {**SETTINGS, "colour": "red"}))
        refused = refusal()
        assert "colour" in refused.reason
        assert "pulumi config" not in str(refused)
        assert "`pulumi up --stack dev`" in refused.fix


class TestWhich:
    def test_a_stack_without_a_registry(self, pulumi: Pulumi) -> None:
        pulumi()
        refused = refusal()
        assert "no ClusterRegistry" in refused.reason
        assert "pulumi config" not in str(refused)

    def test_a_first_update_that_broke_off(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", None))
        assert "`pulumi up --stack dev`" in refusal().fix

    def test_one_that_is_to_be_deleted_is_none(self, pulumi: Pulumi) -> None:
        old, *rest = registry("registry", SETTINGS)
        pulumi({**old, "delete": True}, *rest)
        assert "no ClusterRegistry" in refusal().reason

    def test_one_of_several_is_chosen(self, pulumi: Pulumi) -> None:
        west = {**SETTINGS, "kubeContext": "west", "namespace": "west-images"}
        pulumi(*registry("west", west), *registry("east", SETTINGS), *image("a", "east"), *image("b", "west"))
        of = found("west")
        assert (of.settings.kube_context, of.settings.where.stack_option) == ("west", " --stack dev --registry west")
        assert asyncio.run(deployed_namespaces(of)) == {"west-images"}
        assert list(references(of) or {}) == ["b"]

    def test_none_of_several_is_chosen(self, pulumi: Pulumi) -> None:
        pulumi(*registry("west", SETTINGS), *registry("east", SETTINGS))
        assert "east, west" in refusal().reason
        assert "`--registry east`" in refusal().fix

    def test_another_one_is_chosen(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS))
        assert (refusal("nope").reason, "registry" in refusal("nope").fix) == ("it has no registry nope", True)


class TestImages:
    def test_their_references_are_those_of_their_components(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS), *image("web", "registry", repository="team/app"))
        assert references(found()) == {"web": f"localhost:30111/team/app:1@{DIGEST}"}

    def test_a_registry_without_images_lacks_nothing(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS))
        assert references(found()) == {}

    def test_one_that_was_never_pushed_has_no_reference(self, pulumi: Pulumi) -> None:
        component, _ = image("web", "registry")
        pulumi(*registry("registry", SETTINGS), {**component, "outputs": {}})
        assert references(found()) == {}

    def test_two_of_one_name_are_two(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS), *image("app", "registry"), *image("app", "registry", "shop:index:Web$"))
        assert len(references(found()) or {}) == 2

    def test_the_command_that_pushes_again_has_the_urns_of_the_state(self, pulumi: Pulumi) -> None:
        resources = image("web", "registry", "shop:index:Web$")
        pulumi(*registry("registry", SETTINGS), *resources)
        words = shlex.split(found().push_command(["web"]))
        assert words == ["pulumi", "up", "--stack", "dev", "--replace", resources[1]["urn"]]

    def test_their_builds_have_secrets_as_plain_values(self, pulumi: Pulumi) -> None:
        args = {"TOKEN": secret("s3cr3t"), "NODE": "20"}
        pulumi(*registry("registry", SETTINGS), *image("web", "registry", buildArgs=args))
        repository, settings, platform = image_builds(found())["web"]
        assert (repository, settings.context, platform) == ("app", "./app", "linux/arm64")
        assert settings.build_args == {"TOKEN": "s3cr3t", "NODE": "20"}

    def test_a_build_of_another_version(self, pulumi: Pulumi) -> None:
        pulumi(*registry("registry", SETTINGS), *image("web", "registry", colour="red"))
        with pytest.raises(StackError, match="the build of web"):
            image_builds(found())


@pytest.mark.parametrize("main", ["src", "src/", "./src/shop.py"])
def test_paths_are_relative_to_the_folder_that_the_program_runs_in(pulumi: Pulumi, tmp_path: Path, main: str) -> None:
    """They were taken for relative to that of Pulumi.yaml, where registryctl is run."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "shop.py").touch()
    (tmp_path / "Pulumi.yaml").write_text(f"name: shop\nmain: {main}\n")
    for kubeconfig, seen in (
        ("cluster.yaml", "src/cluster.yaml"),
        ("~/c:/d", "~/c:/d"),
        (secret(KUBECONFIG), KUBECONFIG),
    ):
        pulumi(
            *registry("registry", {**SETTINGS, "kubeconfig": kubeconfig}), *image("web", "registry", context="../app")
        )
        of = found()
        _, build, _ = image_builds(of)["web"]
        assert (of.settings.kubeconfig or "").replace(str(Path.home()), "~") == seen
        assert Path(build.context or "").resolve() == tmp_path / "app"


class TestOwnProgram:
    """Where Pulumi.yaml declares the settings, they are the config's, and the state is not asked."""

    @pytest.fixture
    def config(self, pulumi: Pulumi, tmp_path: Path) -> Callable[[dict[str, object]], None]:
        pulumi()
        declared = "name: kube-registry\nconfig: {'kube-registry:kubeContext': {}, images: {}}\n"

        def answer(values: dict[str, object]) -> None:
            (tmp_path / "Pulumi.yaml").write_text(declared)
            text = json.dumps({f"kube-registry:{key}": {"value": value} for key, value in values.items()})
            (tmp_path / "bin" / "pulumi").write_text(f'#!/bin/sh\n[ "$1" = config ] && echo {shlex.quote(text)}\n')

        return answer

    def test_its_settings_are_its_config(self, config: Callable[[dict[str, object]], None]) -> None:
        config({"kubeContext": "prod", "images": '{"app": {"context": "./app"}}'})
        of = found()
        assert of.settings.kube_context == "prod"
        assert image_builds(of)["app"][0] == "app"
        assert found("registry").settings == of.settings
        assert refusal("east").reason == "it has no registry east"

    def test_a_missing_setting_is_named_with_its_command(self, config: Callable[[dict[str, object]], None]) -> None:
        config({"kubeContext": "prod"})
        with pytest.raises(SettingsError) as refused:
            found()
        assert refused.value.key == "images"
        assert refused.value.fix.startswith("`pulumi config ")


def test_the_config_of_another_program_is_not_read(pulumi: Pulumi, tmp_path: Path) -> None:
    pulumi()
    with pytest.raises(StackError) as refused:
        asyncio.run(find_stack("dev", folder=tmp_path))
    assert "Pulumi.yaml" in refused.value.reason


@pytest.mark.parametrize("name", ["live", "team/shop/live"])
def test_the_line_that_pushes_again_names_every_lost_image_as_pulumi_does(name: str) -> None:
    settings = Settings.parse({"kubeContext": "prod", "images": {"app": {}}}, project="shop", stack=name)
    first, second = (image_urn("shop", "live", image) for image in ("app", "other"))
    words = shlex.split(StackRegistry("shop", name, settings).push_command(["app", "other"]))
    assert words == ["pulumi", "up", "--stack", name, "--replace", first, "--replace", second]
