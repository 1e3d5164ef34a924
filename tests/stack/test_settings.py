from pathlib import Path
from typing import Any

import pytest

from stack.errors import SettingsError
from stack.settings import Settings

LEAST: dict[str, Any] = {"kubeContext": "lab-dev", "images": {"app": {}}}


def parse(**given: object) -> Settings:
    return Settings.parse({**LEAST, **given}, project="kube-registry", stack="dev")


def refusal(given: dict[str, object]) -> str:
    with pytest.raises(SettingsError) as raised:
        parse(**given)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


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

    def test_a_kubeconfig_in_the_home_folder_is_found_by_whoever_reads_it(self) -> None:
        assert parse(kubeconfig="~/.kube/config").kubeconfig == str(Path.home() / ".kube" / "config")

    def test_an_empty_value_means_not_set(self) -> None:
        assert parse(storageClass="", namespace=None, pushPort="0") == parse()

    def test_a_push_port_of_ones_own_wins_over_the_derived_one(self) -> None:
        assert parse(pushPort="21000").push_port == 21000
        assert parse().push_port != Settings.parse(LEAST, project="kube-registry", stack="other").push_port

    @pytest.mark.parametrize(
        ("given", "found", "mend"),
        [
            ({"kubeContext": ""}, "kubeContext: it is missing", "set --path kubeContext my-context"),
            ({"nodePort": "many"}, "nodePort: 'many' is not allowed", "set --path nodePort 30100"),
            ({"nodePort": "70000"}, "nodePort: '70000' is not allowed", "set --path nodePort 30100"),
            ({"pushPort": "80"}, "pushPort: '80' is not allowed", "set --path pushPort 21000"),
            ({"namespace": "My_Registry"}, "namespace: 'My_Registry' is not allowed", "namespace kube-registry"),
            ({"storageSize": "ten"}, "storageSize: 'ten' is not allowed", "set --path storageSize 10Gi"),
            ({"platform": "amd64"}, "platform: 'amd64' is not allowed", "set --path platform linux/arm64"),
            ({"images": {}}, "images: {} is not allowed", "set --path images.app.context ./app"),
            ({"images": "not json"}, "images: 'not json' is not allowed", "set --path images.app.context ./app"),
            ({"images": {"App": {}}}, "images.App: 'App' is not allowed", "set --path images.app.context ./app"),
            ({"images": {"app": {"context": 1}}}, "images.app.context: 1 is not allowed", "images.app.context ./app"),
        ],
    )
    def test_a_bad_value_names_the_key_what_is_allowed_and_the_line_that_mends_it(
        self, given: dict[str, object], found: str, mend: str
    ) -> None:
        sentence = refusal(given)
        assert sentence.startswith(f"setting {found}, it takes ")
        assert sentence.endswith(f"{mend}`")

    @pytest.mark.parametrize(
        ("given", "found", "mend"),
        [
            ({"nodeport": "30100"}, "nodeport: there is no such setting, nodePort is meant", "nodePort 30100"),
            ({"kubecontxt": "a"}, "kubecontxt: there is no such setting, kubeContext is meant", "my-context"),
            ({"retries": "3"}, "retries: there is no such setting; known are kubeContext,", "rm --path retries"),
            (
                {"images": {"team/app": {"dockerFile": "x"}}},
                "images.team/app.dockerFile: there is no such setting, dockerfile is meant",
                """set --path 'images["team/app"].dockerfile' Dockerfile""",
            ),
        ],
    )
    def test_a_misspelt_key_is_told_the_nearest_one(self, given: dict[str, object], found: str, mend: str) -> None:
        sentence = refusal(given)
        assert sentence.startswith(f"setting {found}")
        assert sentence.endswith(f"{mend}`")

    def test_keys_of_other_namespaces_are_passed_over(self) -> None:
        assert parse(**{"pulumi:disable-default-providers": "[]", "kube-registry:nodePort": "30111"}).node_port == 30111
