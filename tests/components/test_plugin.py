"""The plugin's answers, with an engine that records what it asks for."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from pulumi.runtime import rpc, settings
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from components.__main__ import package
from tests.components.test_library import KUBECONFIG
from tests.components.test_program import PROGRAM
from tests.fakes.plugin import SOON, TOKEN, Plugin, Recorded, RefusedError, serving

IMAGE = {"context": "./app"}
IMAGES = {"app": IMAGE}
UNKNOWN = rpc.UNKNOWN


OUTPUT = {rpc._special_sig_key: rpc._special_output_value_sig, "dependencies": ["urn:pulumi:dev::shop::a:b:C::other"]}
"""An output of a resource as it is sent while it is not known."""


def output(value: object) -> dict[str, object]:
    """One that is known."""
    return {**OUTPUT, "value": value}


def secret(value: object) -> dict[str, object]:
    """A secret of the program, as an engine sends it that knows outputs."""
    return {**OUTPUT, "value": value, "secret": True, "dependencies": []}


def old_secret(value: object) -> dict[str, object]:
    """A secret as others send it, and as the inputs of resources have it."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    monkeypatch.chdir(PROGRAM.parent)
    monkeypatch.setenv("DOCKER_HOST", "ssh://nowhere")  # not asked whether it is there
    before, recorded = settings.SETTINGS, Recorded()
    with serving(recorded) as engine:
        yield Plugin(recorded, engine)
    settings.configure(before)


def test_outputs_are_what_the_schema_promises(plugin: Plugin) -> None:
    (made,) = plugin.construct({"kubeContext": "prod", "images": IMAGES})
    assert set(made) == set(json.loads(package().schema or "")["resources"][TOKEN]["properties"])


def test_numbers_arrive_as_floats_and_are_whole(plugin: Plugin) -> None:
    (made,) = plugin.construct({"kubeContext": "prod", "nodePort": 30111.0, "pushPort": 5005.0})
    assert (made["pullHost"], made["pushAddress"]) == ("localhost:30111", "localhost:5005")
    specs = [service["spec"] for service in plugin.recorded.inputs("Service").values()]
    assert [spec["ports"][0]["nodePort"] for spec in specs if spec["type"] == "NodePort"] == [30111]


def one_sentence(refused: RefusedError) -> str:
    """What the plugin said, which has no names of Python, and no lines of a traceback."""
    text = str(refused)
    assert "\n" not in text
    assert re.search(r"<class|Traceback|\w+Error\b", text) is None
    return text


class TestPlainArguments:
    """What decides names has to be known before anything is made."""

    @pytest.mark.parametrize(
        "claim",
        [
            secret({"size": "99Gi"}),
            {"size": secret("99Gi")},
            old_secret({"size": "99Gi"}),
            {"size": old_secret("99Gi")},
            {"size": output("99Gi")},
        ],
    )
    def test_one_that_is_known_has_its_value(self, plugin: Plugin, claim: object) -> None:
        plugin.construct({"kubeContext": "prod", "claim": claim})
        (made,) = plugin.recorded.inputs("PersistentVolumeClaim").values()
        assert made["spec"]["resources"] == {"requests": {"storage": "99Gi"}}

    @pytest.mark.parametrize(
        "images",
        [
            {"app": {**IMAGE, "secretBuildArgs": {"TOKEN": "s3cr3t"}}},
            {"app": {**IMAGE, "secretBuildArgs": {"TOKEN": secret("s3cr3t")}}},
            {"app": {**IMAGE, "buildArgs": {"TOKEN": secret("s3cr3t")}}},
            {"app": {**IMAGE, "buildArgs": {"TOKEN": old_secret("s3cr3t")}}},
            {"app": {**IMAGE, "buildArgs": secret({"TOKEN": "s3cr3t"})}},
            secret({"app": {**IMAGE, "buildArgs": {"TOKEN": "s3cr3t"}}}),
        ],
    )
    def test_a_build_argument_that_is_secret_stays_so(self, plugin: Plugin, images: object) -> None:
        plugin.construct({"kubeContext": "prod", "images": images})
        (image,) = plugin.recorded.inputs("docker:index/image:Image").values()
        assert image["build"]["args"]["TOKEN"]["value"] == "s3cr3t"
        assert image["build"]["args"]["TOKEN"].get("secret", True)

    def test_one_that_is_not_secret_is_plain(self, plugin: Plugin) -> None:
        args = {"buildArgs": {"A": "1"}, "secretBuildArgs": {"B": secret("2")}}
        plugin.construct(
            {"kubeContext": "prod", "claim": secret({"size": "1Gi"}), "images": {"app": {**IMAGE, **args}}}
        )
        (made,) = plugin.recorded.inputs("docker:index/image:Image").values()
        assert made["build"]["args"]["A"] == "1"

    @pytest.mark.parametrize(
        ("given", "key"),
        [
            ({"namespace": UNKNOWN}, "namespace"),
            ({"namespace": OUTPUT}, "namespace"),
            ({"namespace": secret(UNKNOWN)}, "namespace"),
            ({"claim": {"size": OUTPUT}}, "claim.size"),
            ({"images": {"app": {**IMAGE, "buildArgs": {"VERSION": OUTPUT}}}}, "images.app.buildArgs.VERSION"),
            ({"pod": {"tolerations": [{"key": OUTPUT}]}}, "pod.tolerations.0.key"),
        ],
    )
    def test_one_that_is_not_known_is_refused_by_name(
        self, plugin: Plugin, given: Mapping[str, object], key: str
    ) -> None:
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeContext": "prod", **given})
        assert one_sentence(refused.value).startswith(f"argument {key} is not known yet")
        assert "Fix: " in str(refused.value)
        assert plugin.recorded.requests == []

    def test_the_kubeconfig_may_be_unknown(self, plugin: Plugin) -> None:
        (made,) = plugin.construct({"kubeconfig": OUTPUT})
        assert made["pullHost"] == "localhost:30100"


class TestErrors:
    """What a user can correct is a sentence."""

    @pytest.mark.parametrize(
        ("given", "key"),
        [
            ({"nodePort": 80000}, "nodePort"),
            ({"nodePort": 30100.5}, "nodePort"),
            ({"nodePort": "many"}, "nodePort"),
            ({"preflight": "sometimes"}, "preflight"),
            ({"namespace": "Not Ok"}, "namespace"),
            ({"claim": {"size": "big"}}, "claim.size"),
            ({"claim": "5Gi"}, "claim"),
            ({"claim": {"storageClas": "fast"}}, "claim.storageClas"),
            ({"nodeProt": 30100}, "nodeProt"),
        ],
    )
    def test_an_argument_that_is_not_allowed_is_named(
        self, plugin: Plugin, given: Mapping[str, object], key: str
    ) -> None:
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeContext": "prod", **given})
        assert f" {key}: " in one_sentence(refused.value)
        assert "Fix: " in str(refused.value)
        assert plugin.recorded.requests == []

    def test_what_goes_wrong_in_an_image(self, plugin: Plugin) -> None:
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeContext": "prod", "images": {"app": {"context": "./nowhere"}}})
        assert one_sentence(refused.value).startswith("image app: ")

    def test_what_goes_wrong_after_the_constructor(self, plugin: Plugin) -> None:
        """The cluster, whose kubeconfig is known late, does not answer."""
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeconfig": secret(json.dumps(KUBECONFIG))}, preview=False)
        assert "is not responding" in one_sentence(refused.value)
        assert plugin.recorded.inputs("Namespace") == {}


def test_two_at_once_share_nothing(plugin: Plugin) -> None:
    one, two = plugin.construct(
        {"kubeContext": "east", "images": IMAGES}, {"kubeContext": "west", "images": IMAGES, "nodePort": 30101}
    )
    assert (one["pullHost"], two["pullHost"]) == ("localhost:30100", "localhost:30101")
    assert one["pushAddress"] != two["pushAddress"]
    names = [(each.type, each.name) for each in plugin.recorded.requests]
    assert len(set(names)) == len(names)
    assert len(set(plugin.recorded.hooks)) == len(plugin.recorded.hooks)
    providers = plugin.recorded.inputs("pulumi:providers:kubernetes")
    assert {name: given["context"] for name, given in providers.items()} == {
        "cluster": "east",
        "registry-1-cluster": "west",
    }


def test_its_folder_starts_as_a_script(tmp_path: Path) -> None:
    """As Pulumi starts it from a checkout; the consumer's folder may have modules of the same names."""
    (tmp_path / "components.py").write_text("raise SystemExit('that of the consumer')")
    command = [sys.executable, str(PROGRAM.parent / "components"), "127.0.0.1:1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        try:
            with grpc.insecure_channel(f"127.0.0.1:{int(running.stdout.readline())}") as channel:
                ask = provider_pb2_grpc.ResourceProviderStub(channel).GetSchema
                answer = ask(provider_pb2.GetSchemaRequest(), timeout=SOON)
        finally:
            running.terminate()
    assert set(json.loads(answer.schema)["resources"]) == {TOKEN}
