from collections.abc import Callable
from typing import Any

import pytest

from stack.errors import SettingsError
from stack.schema import ROOT, pulumi_yaml, readme
from stack.settings import Settings, keys

LEAST: dict[str, Any] = {"kubeContext": "lab-dev", "images": {"app": {}}}


def parse(**given: object) -> Settings:
    return Settings.parse({**LEAST, **given}, project="kube-registry", stack="dev")


class TestSettings:
    def test_a_kube_context_and_an_image_are_enough(self) -> None:
        settings = parse()
        assert settings.namespace == "kube-registry"
        assert settings.endpoints.pull_host == "localhost:30100"
        assert settings.images["app"].dockerfile == "Dockerfile"

    def test_numbers_and_structures_may_come_as_pulumi_writes_them(self) -> None:
        settings = parse(nodePort="30111", images='{"team/app": {"context": "./app", "buildArgs": {"A": "1"}}}')
        assert settings.node_port == 30111
        assert settings.images["team/app"].build_args == {"A": "1"}

    def test_an_empty_value_means_not_set(self) -> None:
        assert parse(storageClass="", namespace=None, pushPort="0") == parse()

    def test_a_push_port_of_ones_own_wins_over_the_derived_one(self) -> None:
        assert parse(pushPort="21000").push_port == 21000
        assert parse().push_port != Settings.parse(LEAST, project="kube-registry", stack="other").push_port

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ({"kubeContext": ""}, "setting kubeContext: is missing"),
            ({"nodePort": "many"}, "setting nodePort: 'many' is not allowed"),
            ({"nodeport": "30100"}, "setting nodeport: '30100' is not allowed"),
            ({"namespace": "Kube_Registry"}, "setting namespace: 'Kube_Registry' is not allowed"),
            ({"images": {}}, "setting images: {} is not allowed"),
            ({"images": "not json"}, "setting images: 'not json' is not allowed"),
            ({"images": {"App": {}}}, "setting images.App"),
            ({"images": {"app": {"dockerFile": "x"}}}, "setting images.app.dockerFile: 'x' is not allowed"),
        ],
    )
    def test_a_bad_value_is_one_sentence_with_its_key_and_what_mends_it(
        self, given: dict[str, object], sentence: str
    ) -> None:
        with pytest.raises(SettingsError) as raised:
            parse(**given)
        assert str(raised.value).startswith(sentence)
        assert "pulumi config set --path" in str(raised.value)
        assert "\n" not in str(raised.value)


class TestGenerated:
    @pytest.mark.parametrize(("name", "made_anew"), [("Pulumi.yaml", pulumi_yaml), ("README.md", readme)])
    def test_what_is_generated_from_the_settings_is_up_to_date(
        self, name: str, made_anew: Callable[[str], str]
    ) -> None:
        current = (ROOT / name).read_text()
        assert made_anew(current) == current, "run `make schema`"
        assert all(key in current for key in keys())
