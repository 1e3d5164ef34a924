"""fleet.yaml: what is inherited, what is refused and by which sentence, what is chosen."""

import json
from pathlib import Path

import pytest

from fleet import schema
from fleet.draft import draft
from fleet.inventory import chosen, read_fleet
from stack.endpoints import derive_push_port
from stack.fleet_errors import FleetError

LEAST = """
defaults:
  images: {app: {context: ./app}}
stacks:
  - {name: eu, kubeContext: prod-eu, wave: 2, labels: {region: eu}}
  - {name: us, kubeContext: prod-us, labels: {region: us}, nodePort: 30200, images: {tool: {context: ./tool}}}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (folder / "fleet.yaml").write_text(text)
    return folder


class TestRead:
    def test_stacks_come_wave_by_wave_with_defaults_and_their_own(self, tmp_path: Path) -> None:
        fleet = read_fleet(written(tmp_path, LEAST))
        us, eu = fleet.members
        assert (fleet.project, us.name, us.wave, eu.name, eu.wave) == ("shop", "us", 1, "eu", 2)
        assert (us.settings.node_port, eu.settings.node_port) == (30200, 30100)
        assert (set(us.settings.images), set(eu.settings.images)) == ({"app", "tool"}, {"app"})
        assert us.settings.push_port == derive_push_port("shop", "us")
        assert "wave" not in us.config
        assert us.config["kubeContext"] == "prod-us"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("stacks: [", "line 1: it cannot be read"),
            ("stacks: []", "stacks: list should have at least 1 item"),
            ("fleet: []", "stacks: field required"),
            ("- 1", "all of it"),
            ("stacks: [{kubeContext: a}]", "stacks.0.name: field required"),
            ("stacks: [{name: a/b, kubeContext: a}]", "stacks.0.name"),
            (LEAST.replace("wave: 2", "wave: 0"), "stacks.0.wave"),
            (LEAST.replace("nodePort", "nodeport"), "stack us: there is no setting nodeport; nodePort is meant"),
            (LEAST.replace("images: {app", "imgs: {app"), "defaults: there is no setting imgs"),
            (LEAST.replace("30200", "many"), "stack us: setting nodePort: 'many' is not allowed"),
            (LEAST.replace("kubeContext: prod-eu, ", ""), "stack eu: setting kubeContext: it is missing"),
            (LEAST.replace("name: us", "name: eu"), "stack eu: there are two of that name"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(FleetError) as raised:
            read_fleet(written(tmp_path, text))
        assert words in str(raised.value)
        assert str(tmp_path / "fleet.yaml") in str(raised.value)

    def test_two_stacks_with_one_push_port_are_told_with_one_that_is_free(self, tmp_path: Path) -> None:
        with pytest.raises(FleetError) as raised:
            read_fleet(written(tmp_path, LEAST.replace("{name", "{pushPort: 20000, name")))
        assert "stack us: it has push port 20000, which stack eu has, too" in str(raised.value)
        assert "`pushPort: 20001`" in str(raised.value)

    def test_without_a_file_the_verb_that_writes_one_is_named(self, tmp_path: Path) -> None:
        written(tmp_path, "").joinpath("fleet.yaml").unlink()
        with pytest.raises(FleetError, match="registryctl fleet init"):
            read_fleet(tmp_path)


class TestChosen:
    @pytest.mark.parametrize(
        ("glob", "labels", "names"),
        [(None, {}, ["us", "eu"]), ("e*", {}, ["eu"]), (None, {"region": "us"}, ["us"]), ("US", {}, None)],
    )
    def test_by_glob_and_labels(
        self, tmp_path: Path, glob: str | None, labels: dict[str, str], names: list[str] | None
    ) -> None:
        fleet = read_fleet(written(tmp_path, LEAST))
        if names is None:
            with pytest.raises(FleetError, match="none has name US"):
                chosen(fleet, glob, labels)
        else:
            assert [member.name for member in chosen(fleet, glob, labels).members] == names


class TestWritten:
    def test_a_draft_can_be_read_whatever_kube_contexts_are_called(self, tmp_path: Path) -> None:
        names = ["prod", "arn:aws:eks:eu-west-1:1:cluster/shop", "prod!", "gke_a_b_c"]
        fleet = read_fleet(written(tmp_path, draft(names)))
        assert [member.settings.kube_context for member in fleet.members] == names

    def test_the_schema_is_up_to_date_and_knows_settings_and_more(self) -> None:
        assert schema.FILE.read_text() == schema.text(), "run `make schema`"
        stack = json.loads(schema.text())["properties"]["stacks"]["items"]
        assert {"name", "wave", "labels", "nodePort", "images"} <= stack["properties"].keys()
        assert stack["required"] == ["name"]
