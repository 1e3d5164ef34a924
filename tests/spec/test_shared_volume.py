"""The settings of a shared volume."""

from typing import Any

import pytest

from kube_registry.spec.shared_volume import SharedVolumeSettings
from tests.spec.test_settings import parse, refusal

SET = "pulumi config set --path sharedVolume"


@pytest.mark.parametrize(
    ("shared", "found", "fix"),
    [
        ("default", "'default' is not allowed; it must be a map of claims, namespace", f"{SET}.claims.default 5Gi`"),
        (["default"], "['default'] is not allowed; it must be a map", f"{SET}.claims.default 5Gi`"),
        ({"claims": {"a": "1GB", "b": "1Gi"}}, "'1GB' is not allowed; claims must be", "sharedVolume.claims.a`"),
        ({"claims": {"A_b": "1Gi"}}, "'A_b' is not allowed; claims must be", """'sharedVolume.claims["A_b"]'`"""),
        ({"storageclass": "fast"}, "the most similar one is storageClass", f"{SET}.storageClass fast`"),
        ({"exposur": "nodePort"}, "the most similar one is exposure", f"{SET}.exposure nodePort`"),
        ({"namespace": "kube-registry"}, "the registry has this namespace", "rm --path sharedVolume.namespace`"),
    ],
)
def test_a_wrong_value_is_named_with_the_commands_that_correct_it(shared: object, found: str, fix: str) -> None:
    sentence = refusal({"sharedVolume": shared})
    assert found in sentence
    assert fix in sentence


def test_the_correction_of_one_claim_keeps_the_others() -> None:
    assert "rm --path sharedVolume.claims`" not in refusal({"sharedVolume": {"claims": {"a": "1GB", "b": "1Gi"}}})


@pytest.mark.parametrize(
    ("given", "key", "longest"),
    [
        ({"namespace": "a" * 57, "sharedVolume": {"size": "1Gi"}}, "namespace", 64),
        ({"namespace": "a" * 51, "sharedVolume": {"exposure": "nodeProxy"}}, "namespace", 64),
        ({"sharedVolume": {"namespace": "a" * 58, "exposure": "nodeProxy"}}, "sharedVolume.namespace", 64),
    ],
)
def test_the_names_of_its_namespaces_may_not_be_too_long(given: dict[str, Any], key: str, longest: int) -> None:
    sentence = refusal(given)
    assert f"setting {key}: " in sentence
    assert any(len(word.strip(",")) == longest for word in sentence.split())
    assert f"{SET}.namespace kube-registry-shared`" in sentence


def test_the_longest_names_are_allowed() -> None:
    assert parse(namespace="a" * 56, sharedVolume={"size": "1Gi"}).shared_volume
    assert parse(namespace="a" * 50, sharedVolume={"exposure": "nodeProxy"}).shared_volume


def test_a_registry_with_a_bucket_retains_its_shared_volume() -> None:
    given: dict[str, Any] = {"s3": {"bucket": "images", "region": "eu"}, "retain": True}
    assert parse(**given, sharedVolume={"size": "1Gi"}).retain


def test_the_port_is_an_option_only_where_it_is_another_one() -> None:
    assert not [each for each in SharedVolumeSettings().mount_options if each.startswith("port=")]
    for exposure in ("nodeProxy", "nodePort"):
        assert "port=32050" in SharedVolumeSettings(exposure=exposure, port=32050).mount_options


def test_only_a_soft_mount_has_a_time_limit() -> None:
    soft, hard = (SharedVolumeSettings(mount=mount).mount_options for mount in ("softerr", "hard"))
    assert {"softerr", "hard"} & {*soft} == {"softerr"}
    assert not [each for each in hard if each.startswith("timeo")]
