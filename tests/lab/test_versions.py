import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import cluster, gobuild, parts, places, spec, versions
from lab.errors import LabError
from lab.spec import ClusterSpec
from lab.versions import NEWEST, OLDEST, VARIABLE


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_newest_are_the_default() -> None:
    assert versions.chosen() == NEWEST
    assert ClusterSpec("dev", 1, ("iptables",)).versions == NEWEST


def test_each_is_chosen_on_its_own_by_the_beginning_of_its_version() -> None:
    chosen = versions.chosen(kubernetes="1.34", docker="20")
    assert (chosen.kubernetes, chosen.containerd, chosen.docker) == (OLDEST.kubernetes, NEWEST.containerd, "20.10")


def test_the_environment_chooses_all_and_an_option_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "oldest")
    assert versions.chosen() == OLDEST
    assert versions.chosen(docker="29").docker == NEWEST.docker


@pytest.mark.parametrize("wanted", ["1.3", "1.35", "1.37.2.1", "v1.37"])
def test_a_version_that_the_lab_does_not_have_is_refused_with_those_it_has(wanted: str) -> None:
    with pytest.raises(LabError) as caught:
        versions.chosen(kubernetes=wanted)
    assert str(caught.value) == (
        f"The lab has no kubernetes {wanted}. "
        f"Fix: use {NEWEST.kubernetes} or {OLDEST.kubernetes}, or leave out --kubernetes"
    )


def test_another_value_of_the_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "latest")
    with pytest.raises(LabError, match=rf"{VARIABLE} is 'latest', .* Fix: set it to newest or oldest, or unset it"):
        versions.chosen()


def test_an_empty_variable_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert versions.chosen() == NEWEST


def test_no_import_fails_with_another_value() -> None:
    """Where a command chooses versions, it is refused in one line."""
    command = [sys.executable, "-c", "import lab.demo, lab.verbs"]
    subprocess.run(command, env={**os.environ, VARIABLE: "latest"}, check=True, timeout=60)


def test_only_what_was_chosen_is_built() -> None:
    titles = {part.title for part in parts.needed(OLDEST) if part.builds}
    assert titles == {f"Kubernetes {OLDEST.kubernetes}", parts.REGISTRY.title, parts.PULUMI.title}
    assert {part.version for part in parts.needed(NEWEST)} >= {NEWEST.kubernetes, NEWEST.containerd, NEWEST.docker}


def test_build_tags_change_the_key_of_their_program_only() -> None:
    plain = gobuild.GoProgram("registry", "registry")
    tagged = gobuild.GoProgram("registry", "registry", tags=("one",))
    assert "tags" not in repr(plain)
    assert plain.fingerprint() != tagged.fingerprint()


def test_a_cluster_of_other_versions_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STATE", tmp_path)
    spec.save(ClusterSpec("dev", 1, ("iptables",), OLDEST))
    with pytest.raises(LabError, match=r"Cluster dev exists with Kubernetes 1\.34\.4, .*, not with Kubernetes 1\.37"):
        cluster.up("dev", nodes=1)
    found = spec.saved("dev")
    assert found
    assert found.versions == OLDEST
