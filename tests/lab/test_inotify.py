from pathlib import Path

import pytest

from lab import inotify, places


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of the kernel's, which is for the whole computer."""
    file = tmp_path / "max_user_instances"
    file.write_text("128\n")
    monkeypatch.setattr(inotify, "_LIMIT", file)
    monkeypatch.setattr(places, "STATE", tmp_path)
    return file


def test_the_limit_is_raised_once_and_restored(limit: Path) -> None:
    inotify.raise_limit()
    inotify.raise_limit()
    assert int(limit.read_text()) == inotify.INSTANCES
    inotify.restore_limit()
    inotify.restore_limit()
    assert limit.read_text() == "128\n"
    assert list(limit.parent.iterdir()) == [limit]


def test_a_high_limit_is_left_alone(limit: Path) -> None:
    limit.write_text("8192\n")
    inotify.raise_limit()
    inotify.restore_limit()
    assert limit.read_text() == "8192\n"


def test_a_limit_that_was_changed_meanwhile_is_left_alone(limit: Path) -> None:
    inotify.raise_limit()
    limit.write_text("4096\n")
    inotify.restore_limit()
    assert limit.read_text() == "4096\n"


def test_the_limit_of_a_reboot_is_raised_again(limit: Path) -> None:
    inotify.raise_limit()
    limit.write_text("256\n")
    inotify.raise_limit()
    inotify.restore_limit()
    assert limit.read_text() == "256\n"
