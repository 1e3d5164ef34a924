"""What is made of `pulumi`'s answers, told by a program of that name; the real one is asked in tests/e2e."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kube_registry.cli.errors import StackError
from kube_registry.cli.stacks import find_stack, kube_context_settings
from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import Settings

Pulumi = Callable[[str], None]

CONFIG = {
    "shop:kubeContext": {"value": "prod", "secret": False},
    "shop:images": {"value": '{"app":{"context":"./app"}}', "objectValue": {"app": {"context": "./app"}}},
    "shop:namespace": {"value": "of-a-secret", "secret": True},
    "shop:pushPort": {"value": "0"},
    "pulumi:disable-default-providers": {"value": '["*"]', "objectValue": ["*"]},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of this repository's program, as far as its Pulumi.yaml shows."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nconfig: {kubeContext: {type: string}, images: {type: object}}\n")
    return tmp_path


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    """Puts a script in the place of `pulumi`."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")

    def script(lines: str) -> None:
        (place / "pulumi").write_text(f"#!/bin/sh\n{lines}\n")
        (place / "pulumi").chmod(0o755)

    return script


def answering(config: dict[str, object]) -> str:
    """A script that tells the selected stack's name and the config of any."""
    return f"case $1 in stack) echo chosen;; config) cat <<'END'\n{json.dumps(config)}\nEND\n;; esac"


def settings_of(folder: Path, stack: str | None, **given: object) -> Settings:
    return asyncio.run(find_stack(stack, given, folder=folder)).settings


def refusal(folder: Path, stack: str | None = "nope") -> str:
    with pytest.raises(StackError) as raised:
        settings_of(folder, stack)
    return str(raised.value)


class TestStack:
    def test_config_with_objects_and_secrets_becomes_settings(self, folder: Path, pulumi: Pulumi) -> None:
        pulumi(answering(CONFIG))
        settings = settings_of(folder, "team/shop/live")
        assert settings.kube_context == "prod"
        assert settings.images["app"].context == "./app"
        assert settings.namespace == "of-a-secret"
        assert settings.push_port == derive_push_port("shop", "live")

    def test_without_a_name_it_is_the_selected_one(self, folder: Path, pulumi: Pulumi) -> None:
        pulumi(answering(CONFIG))
        assert settings_of(folder, None).push_port == derive_push_port("shop", "chosen")

    def test_what_is_given_by_hand_takes_the_place_of_the_setting(self, folder: Path, pulumi: Pulumi) -> None:
        pulumi(answering(CONFIG))
        settings = settings_of(folder, "live", namespace="other", pushPort=21000)
        assert (settings.namespace, settings.push_port) == ("other", 21000)

    def test_settings_that_are_not_right_are_told_as_everywhere(self, folder: Path, pulumi: Pulumi) -> None:
        pulumi(answering({**CONFIG, "shop:nodePort": {"value": "many"}}))
        with pytest.raises(SettingsError, match="setting nodePort: 'many' is not allowed"):
            settings_of(folder, "live")


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "fix"),
        [
            (
                "no stack named 'nope' found",
                "choose a stack from `pulumi stack ls`, or create this one with `pulumi stack init nope`",
            ),
            ("PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions", "`pulumi login`"),
            (
                "something new",
                "correct that, then check it with `pulumi config --json --show-secrets --stack nope --non-interactive`",
            ),
        ],
    )
    def test_pulumis_words_are_passed_on_with_what_mends_it(
        self, folder: Path, pulumi: Pulumi, words: str, fix: str
    ) -> None:
        pulumi(f'echo "error: {words}" >&2; exit 1')
        assert f"settings of stack nope in {folder} cannot be read: {words}. Fix: {fix}" in refusal(folder)

    def test_no_stack_is_selected(self, folder: Path, pulumi: Pulumi) -> None:
        pulumi("echo 'error: no stack selected; please use `pulumi stack select`' >&2; exit 1")
        text = refusal(folder, None)
        assert "settings of the selected stack" in text
        assert text.endswith("`pulumi stack select NAME`")

    def test_there_is_no_pulumi(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(folder))
        assert "`pulumi` cannot be run: No such file or directory. Fix: install it" in refusal(folder)

    def test_it_never_answers(self, folder: Path, pulumi: Pulumi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kube_registry.cli.stacks.PULUMI_SECONDS", 0.2)
        pulumi("exec sleep 60")
        assert "took longer than 0 s" in refusal(folder)

    @pytest.mark.parametrize("text", [None, "runtime: python\n", "- a list\n", "a: b: c\n"])
    def test_the_folder_is_not_a_programs(self, tmp_path: Path, text: str | None) -> None:
        if text:
            (tmp_path / "Pulumi.yaml").write_text(text)
        assert "run this in the folder of the program" in refusal(tmp_path)


class TestKubeContext:
    def test_all_but_the_kube_context_has_its_default(self) -> None:
        settings = kube_context_settings("prod", {})
        assert (settings.kube_context, settings.namespace, settings.node_port) == ("prod", "kube-registry", 30100)

    def test_two_kube_contexts_can_be_pushed_to_at_once(self) -> None:
        ports = {kube_context_settings(name, {}).push_port for name in ("prod", "test")}
        assert len(ports) == 2
