"""fleet.yaml: what is inherited, what is refused and by which sentence, what is selected."""

import asyncio
import json
import re
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kube_registry.cli.verbs import app
from kube_registry.engine.program import Program
from kube_registry.fleet.draft import draft
from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.fleet_file import read_fleet, select
from kube_registry.fleet.schema import schema
from kube_registry.fleet.stack_config import configure, with_secrets
from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.sections import ClaimSettings, ImageSettings

LEAST = """
defaults:
  images: {app: {context: ./app}}
stacks:
  - {name: eu, kubeContext: prod-eu, wave: 2, labels: {region: eu}}
  - {name: us, kubeContext: prod-us, labels: {region: us}, nodePort: 30200, images: {tool: {context: ./tool}}}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\nconfig: {kubeContext: {}, images: {}}\n")
    (folder / "fleet.yaml").write_text(text)
    return folder


def executable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, once a `pulumi` is on the path that notes its arguments and succeeds."""
    (folder / "pulumi").write_text('#!/bin/sh\necho "$@" >> said\n')
    (folder / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
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
            ("stacks: []", "stacks: it is empty; it must be a list of stacks"),
            ("fleets: []", "fleets: there is no such key"),
            ("defaults: {}", "stacks: it is empty"),
            ("stacks: {a: b}", "stacks: {'a': 'b'} is not allowed"),
            ("stacks: [a]", "stack number 1: 'a' is not allowed"),
            (LEAST.replace("defaults:", "defaults: text\nx-y:"), "defaults: 'text' is not allowed"),
            ("- 1", "fleet.yaml: it must be a map with the key stacks"),
            ("stacks: [{kubeContext: a}]", "stack number 1: name: it is missing"),
            ("stacks: [{name: a b, kubeContext: a}]", "stack a b: name: 'a b' is not allowed"),
            ("stacks: [{name: a/b/c/d, kubeContext: a}]", "stack a/b/c/d: name: "),
            ("stacks: [{name: acme/other/prod, kubeContext: a}]", "it belongs to another project than shop"),
            (LEAST.replace("wave: 2", "wave: 0"), "stack eu: wave: '0' is not allowed; it must be a number from 1"),
            (LEAST.replace("{region: eu}", "{region: [eu]}"), "stack eu: labels.region: ['eu'] is not allowed"),
            (LEAST.replace("{region: eu}", "eu"), "stack eu: labels: 'eu' is not allowed; it must be a map of strings"),
            (LEAST.replace("nodePort", "nodeport"), "stack us: there is no setting nodeport. Fix: write `nodePort`"),
            (LEAST.replace("images: {app", "imgs: {app"), "defaults: there is no setting imgs"),
            (LEAST.replace("30200", "many"), "stack us: setting nodePort: 'many' is not allowed"),
            (LEAST.replace("kubeContext: prod-eu, ", ""), "stack eu: setting kubeContext: it is missing"),
            (LEAST.replace("name: us", "name: eu"), "stack eu: there are two stacks of that name"),
            (
                LEAST.replace("name: us", "name: EU"),
                "Pulumi.EU.yaml is also that of stack eu, where file names ignore case",
            ),
            (f"{LEAST}defaults: {{}}", "line 7: it cannot be read: found a second key defaults"),
            (LEAST.replace("nodePort: 30200", "images: {}"), "line 6: it cannot be read: found a second key images"),
            (LEAST.replace("{tool:", "{~:"), "line 6: it cannot be read: found a key that is not text"),
            (LEAST.replace("{tool:", "{[tool]:"), "line 6: it cannot be read: found a key that is not text"),
            (LEAST.replace("images: {app:", "images: &all {app: *all, web:"), "line 3: it cannot be read"),
            (
                LEAST.replace("name: eu", "name: acme/us"),
                "stack us: its config file Pulumi.us.yaml is also that of stack acme/us",
            ),
        ],
    )
    def test_what_is_wrong_is_told_with_its_place(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(FleetError) as raised:
            read_fleet(written(tmp_path, text))
        assert words in str(raised.value)
        assert str(tmp_path / "fleet.yaml") in str(raised.value)
        assert not re.search(r"\b(input|field|valid|extra|dictionary|string)\b", str(raised.value), re.IGNORECASE)

    def test_an_image_is_that_of_the_defaults_with_what_is_the_stacks_own(self, tmp_path: Path) -> None:
        text = """
            x-args: &args {NODE: 20, DEBUG: true, PYTHON: 3.10, UMASK: 010, ANSWER: no, DAY: 2024-01-01}
            defaults:
              images: {app: {context: ./app, target: release, buildArgs: {<<: *args, ZONE: a}}, tool: {target: x}}
            stacks:
            - {name: eu, kubeContext: eu, images: {app: {target: , buildArgs: {REGION: eu, DEBUG: , ZONE: ""}}, tool: }}
            """
        (eu,) = read_fleet(written(tmp_path, textwrap.dedent(text))).members
        args = {"NODE": "20", "PYTHON": "3.10", "UMASK": "010", "ANSWER": "no", "DAY": "2024-01-01"}
        app = {"context": "./app", "buildArgs": {**args, "REGION": "eu", "ZONE": ""}}
        assert eu.settings.images["app"] == ImageSettings.model_validate(app)
        assert eu.settings.images["tool"] == ImageSettings()
        assert eu.config["images"] == {"app": app, "tool": {}}

    @pytest.mark.parametrize("empty", ["", "~", "null"])
    def test_a_key_without_value_takes_the_default_away(self, tmp_path: Path, empty: str) -> None:
        text = "defaults: {claim: {storageClass: fast}, nodePort: 30111, images: {app: }}\nstacks: "
        text += f"[{{name: a, kubeContext: a, claim: {{storageClass: {empty} }}, nodePort: {empty} , "
        text += f"labels: {empty} , wave: {empty} }}]"
        (member,) = read_fleet(written(tmp_path, text)).members
        assert (member.settings.claim.storage_class, member.settings.node_port) == (None, 30100)
        assert member.config == {"kubeContext": "a", "images": {"app": {}}}
        assert (member.labels, member.wave) == ({}, 1)

    def test_old_names_are_read_place_by_place_and_noted(self, tmp_path: Path) -> None:
        text = "defaults: {storageClass: fast, storageSize: 20Gi, images: {app: }}\nstacks:\n"
        text += "- {name: a, kubeContext: a, storageClass: , claim: {size: 50Gi}, nodeProxy: yes}\n"
        text += "- {name: b, kubeContext: b, exposure: nodePort}\n"
        fleet = read_fleet(written(tmp_path, text))
        a, b = fleet.members
        assert (a.settings.claim, a.settings.exposure) == (ClaimSettings(size="50Gi", storage_class=None), "nodeProxy")
        assert b.config["claim"] == {"storageClass": "fast", "size": "20Gi"}
        assert [re.findall(r"`([^`]+)`", note) for note in fleet.notes] == [
            ["claim: {size: 20Gi, storageClass: fast}"],
            ["claim: {size: 50Gi, storageClass: null}", "exposure: nodeProxy"],
        ]
        assert [note.partition(", ")[2].partition(": ")[0] for note in fleet.notes] == ["defaults", "stack a"]

    def test_both_names_in_one_place_are_refused(self, tmp_path: Path) -> None:
        text = "stacks: [{name: a, kubeContext: a, images: {app: }, storageSize: 1Gi, claim: {size: 2Gi}}]"
        with pytest.raises(FleetError, match=r"old name of claim\.size") as raised:
            read_fleet(written(tmp_path, text))
        assert raised.value.place == "stack a"

    def test_a_quoted_null_is_a_text_and_truth_values_are_written_as_such(self, tmp_path: Path) -> None:
        text = "defaults:\nx-a: [1]\nstacks: [{name: a, kubeContext: 'null', images: {app: }, "
        text += "preflight: 0, retain: yes, nodePort: 30111, namespace: 2024, labels: {tier: 1, on: off}}]"
        (member,) = read_fleet(written(tmp_path, text)).members
        config = {"preflight": False, "retain": True, "nodePort": 30111, "namespace": "2024", "kubeContext": "null"}
        assert member.config == {**config, "images": {"app": {}}}
        assert member.settings.preflight is False
        assert member.labels == {"tier": "1", "on": "off"}

    def test_a_value_with_a_tag_is_written_as_its_text(self, tmp_path: Path) -> None:
        tagged = "kubeContext: !!binary cHJvZC11cw==, claim: {size: !!int 5}, namespace: !!str 2024"
        (_, eu) = read_fleet(written(tmp_path, LEAST.replace("kubeContext: prod-eu", tagged))).members
        assert {"kubeContext": "prod-us", "claim": {"size": "5"}, "namespace": "2024"}.items() <= eu.config.items()

    def test_a_stacks_own_file_is_read_as_text_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = written(tmp_path, LEAST) / "Pulumi.us.yaml"
        member = read_fleet(tmp_path).members[0]
        program = Program(executable(tmp_path, monkeypatch))
        file.write_text("config: {shop:kubeContext: prod-us, shop:images: {app: {buildArgs: {DAY: 2024-01-01}}}}")
        assert asyncio.run(configure(program, member))
        file.write_text("<<<<<<< mine\nconfig: {}\n")
        with pytest.raises(FleetError, match="line 2: it cannot be read"):
            asyncio.run(with_secrets(program, member))

    @pytest.mark.parametrize("name", ["acme/prod", "acme/shop/prod"])
    def test_a_stack_of_an_organisation_is_configured_by_its_own_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        fleet = read_fleet(written(tmp_path, LEAST.replace("name: us", f"name: {name}")))
        member = next(each for each in fleet.members if each.name == name)
        (tmp_path / "Pulumi.prod.yaml").write_text("config: {shop:old: 1}")
        assert asyncio.run(configure(Program(executable(tmp_path, monkeypatch)), member))
        assert f"config rm-all shop:old --stack {name}" in (tmp_path / "said").read_text()
        assert member.settings.push_port == derive_push_port("shop", "prod")

    def test_two_stacks_with_one_push_port_are_told_with_one_that_is_free(self, tmp_path: Path) -> None:
        with pytest.raises(FleetError) as raised:
            read_fleet(written(tmp_path, LEAST.replace("{name", "{pushPort: 20000, name")))
        assert "stack us: push port 20000 is also that of stack eu" in str(raised.value)
        (line,) = re.findall(r"`(pushPort: \d+)`", str(raised.value))
        corrected = LEAST.replace("{name: eu", "{pushPort: 20000, name: eu").replace("{name: us", f"{{{line}, name: us")
        us, _ = read_fleet(written(tmp_path, corrected)).members
        assert us.settings.push_port == 20001

    def test_without_a_file_another_program_is_told_that_it_has_no_fleet(self, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").write_text("name: shop\nconfig: {kubeContext: {}}\n")
        with pytest.raises(FleetError) as raised:
            read_fleet(tmp_path)
        assert raised.value.file == str(tmp_path / "Pulumi.yaml")
        assert "registryctl fleet init" not in str(raised.value)

    def test_without_a_file_the_command_that_is_printed_writes_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written(tmp_path, "").joinpath("fleet.yaml").unlink()
        with pytest.raises(FleetError) as raised:
            read_fleet(tmp_path)
        (line,) = re.findall(r"`.venv/bin/python -m registryctl ([^`]+)`", str(raised.value))
        contexts: list[dict[str, object]] = [{"name": name, "context": {}} for name in ("a-b", "a-b-2", "a/b")]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps({"contexts": contexts, "clusters": [], "users": []}))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, line.split(), catch_exceptions=False)
        assert done.exit_code == 0
        assert len(read_fleet(tmp_path).members) == len(contexts)


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
                select(fleet, glob, labels)
        else:
            assert [member.name for member in select(fleet, glob, labels).members] == names


class TestWritten:
    @pytest.mark.parametrize(
        "names",
        [
            ["prod", "arn:aws:eks:eu-west-1:1:cluster/shop", "prod!", "gke_a_b_c", "Prod", "1.10", "no", "///"],
            ["a-b", "a-b-2", "a/b"],
            ["a/b", "a-b", "a-b-2"],
            [
                f"arn:aws:eks:eu-west-1:1:cluster/{'x' * 120}/{number % 7}!" + "." * (number // 7)
                for number in range(300)
            ],
            [f"cluster-{number}" for number in range(300)],
        ],
    )
    def test_a_draft_is_a_fleet_whatever_kube_contexts_are_called(self, tmp_path: Path, names: list[str]) -> None:
        fleet = read_fleet(written(tmp_path, draft(names, "shop")))
        assert [member.settings.kube_context for member in fleet.members] == names
        assert len({member.name.lower() for member in fleet.members}) == len(names)
        assert len({member.settings.push_port for member in fleet.members}) == len(names)

    def test_a_draft_has_the_node_proxy_where_a_cluster_needs_it(self, tmp_path: Path) -> None:
        fleet = read_fleet(written(tmp_path, draft(["a", "b"], "shop", ["b"])))
        assert [member.settings.exposure for member in fleet.members] == ["nodePort", "nodeProxy"]

    def test_the_schema_knows_settings_and_more(self) -> None:
        stack = json.loads(schema())["properties"]["stacks"]["items"]
        assert {"name", "wave", "labels", "nodePort", "images"} <= stack["properties"].keys()
        assert stack["required"] == ["name"]
