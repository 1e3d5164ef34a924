"""The docker provider's copy of Docker's configuration: whole, private, shared, gone at the end."""

import json
import multiprocessing
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from kube_registry.docker_daemon.config_copy import config_copy, remove_left_copy

CONFIG = {"auths": {"registry.example": {"auth": "bWU6c2VjcmV0"}}}


def found(folder: Path) -> object:
    read = json.loads((folder / "config.json").read_text())
    read.pop("kube-registry")
    return read


def test_it_is_there_for_the_block_and_for_its_owner_only(tmp_path: Path) -> None:
    with config_copy(tmp_path, CONFIG) as kept:
        assert kept
        assert found(tmp_path) == CONFIG
        assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_the_last_of_several_takes_it_away(tmp_path: Path) -> None:
    with config_copy(tmp_path, CONFIG) as first, config_copy(tmp_path, CONFIG) as second:
        assert first
        assert second
        with config_copy(tmp_path, CONFIG):
            pass
        assert found(tmp_path) == CONFIG
    assert list(tmp_path.iterdir()) == []


def _hold(folder: Path, together: Barrier) -> None:
    for _ in range(50):
        together.wait(20)
        with config_copy(folder, CONFIG) as kept:
            assert kept
            assert found(folder) == CONFIG


def test_runs_that_begin_and_end_at_one_moment_all_find_it(tmp_path: Path) -> None:
    together = multiprocessing.Barrier(4)
    runs = [multiprocessing.Process(target=_hold, args=[tmp_path, together]) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"auths": {}}'])
def test_a_file_that_is_not_ours_stays_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with config_copy(tmp_path, CONFIG) as kept:
        assert not kept
    remove_left_copy(tmp_path)
    assert (tmp_path / "config.json").read_text() == text


def test_another_configuration_does_not_wait_and_changes_nothing(tmp_path: Path) -> None:
    with config_copy(tmp_path, CONFIG), config_copy(tmp_path, {"auths": {}}) as kept:
        assert not kept
        assert found(tmp_path) == CONFIG


def test_what_a_killed_run_has_left_is_replaced_or_taken_away(tmp_path: Path) -> None:
    with config_copy(tmp_path, CONFIG):
        left = (tmp_path / "config.json").read_text()
        remove_left_copy(tmp_path)
        assert found(tmp_path) == CONFIG
    (tmp_path / "config.json").write_text(left)
    with config_copy(tmp_path, {}) as kept:
        assert kept
        assert found(tmp_path) == {}
    (tmp_path / "config.json").write_text(left)
    remove_left_copy(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    with config_copy(tmp_path / "none", CONFIG) as kept:
        assert not kept
