"""An argument of a component is the setting of the same name: what differs is listed here."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from components.__main__ import PACKAGE, package
from kube_registry.spec.sections import (
    ClaimSettings,
    ImageSettings,
    MetricsSettings,
    PodSettings,
    Resources,
    S3Settings,
    Toleration,
)
from kube_registry.spec.settings import Settings, described
from kube_registry.spec.shared_volume import SharedVolumeSettings

SCHEMA: dict[str, Any] = json.loads(package().schema or "{}")
ARGUMENTS: dict[str, Any] = SCHEMA["resources"][f"{PACKAGE}:index:ClusterRegistry"]["inputProperties"]
OTHER_TEXT = {
    "kubeContext": "; the kubeconfig's current kube context if not set",
    "kubeconfig": "The content is a secret in the state",
    "pushPort": ", stack and name",
}
"""What an argument's text says that the setting's does not: a component may have a kubeconfig alone, and a name."""


def section(name: str) -> dict[str, Any]:
    return dict(SCHEMA["types"][f"{PACKAGE}:index:{name}"]["properties"])


@pytest.mark.parametrize(
    ("arguments", "settings", "more"),
    [
        (ARGUMENTS, Settings, set()),
        (section("ClaimArgs"), ClaimSettings, set()),
        (section("S3Args"), S3Settings, set()),
        (section("PodArgs"), PodSettings, set()),
        (section("TolerationArgs"), Toleration, set()),
        (section("ResourcesArgs"), Resources, set()),
        (section("MetricsArgs"), MetricsSettings, set()),
        (section("SharedVolumeArgs"), SharedVolumeSettings, set()),
        (section("ImageArgs"), ImageSettings, {"secretBuildArgs"}),
    ],
    ids=["ClusterRegistry", "claim", "s3", "pod", "toleration", "resources", "metrics", "sharedVolume", "image"],
)
def test_names_and_texts_are_those_of_the_settings(
    arguments: dict[str, Any], settings: type[BaseModel], more: set[str]
) -> None:
    fields = described(settings)
    assert set(arguments) == set(fields) | more
    texts = {name: arguments[name].get("description") for name in fields.keys() - OTHER_TEXT}
    assert texts == {name: fields[name].description for name in texts}


def test_a_text_differs_where_the_component_does() -> None:
    fields = described(Settings)
    for name, words in OTHER_TEXT.items():
        assert words in ARGUMENTS[name]["description"]
        assert words not in str(fields[name].description)
