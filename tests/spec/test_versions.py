"""Versions as programs tell them: old ones, new ones, and what is none."""

import pytest

from kube_registry.spec.versions import unsupported


@pytest.mark.parametrize(
    ("program", "version"),
    [
        ("Kubernetes", "v1.29.5-gke.1091000"),
        ("Kubernetes", "v2.0.0"),
        ("Docker", "20.10.24+dfsg1"),
        ("Pulumi", "v3.244.0"),
    ],
)
def test_a_supported_version(program: str, version: str) -> None:
    assert unsupported(program, version) is None


def test_a_version_that_is_too_old_is_reported_with_the_oldest_supported_one() -> None:
    said = unsupported("Kubernetes", "v1.9.11")
    assert said
    assert said.startswith("Kubernetes v1.9.11 is older than 1.29")


def test_a_version_that_cannot_be_parsed_is_reported() -> None:
    assert unsupported("Docker", "master") == "cannot parse the version of Docker: 'master'"
