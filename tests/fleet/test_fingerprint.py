"""What of the program's folder decides whether a rollout updates a stack again."""

from pathlib import Path

import pytest

from kube_registry.fleet.fingerprint import program_hash

FILE = "components/cluster_registry.py"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    for name in ("Pulumi.yaml", "__main__.py", FILE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("before")
    return tmp_path


@pytest.mark.parametrize("changed", ["__main__.py", FILE])
def test_a_changed_file_is_another_program(program: Path, changed: str) -> None:
    before = program_hash(program)
    (program / changed).write_text("after")
    assert program_hash(program) != before


@pytest.mark.parametrize("made", ["components/__pycache__/args.pyc", "components/.venv/bin/python"])
def test_what_others_make_in_its_folders_is_no_part_of_it(program: Path, made: str) -> None:
    """components/.venv is the plugin's, once an example in YAML was run."""
    before = program_hash(program)
    (program / made).parent.mkdir(parents=True)
    (program / made).write_text("made")
    assert program_hash(program) == before
