"""Commands of registryctl that are forked do the same as those that import everything."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forks import Forks, forks

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def commands() -> Iterator[Forks]:
    with forks() as running:
        yield running


@pytest.mark.parametrize("words", [("gc", "--wrong"), ("images", "--kube-context", "none"), ()])
def test_they_end_and_print_as_others(commands: Forks, words: tuple[str, ...], tmp_path: Path) -> None:
    env = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    command = [sys.executable, "-m", "registryctl", *words]
    cold = subprocess.run(command, cwd=CHECKOUT, env=env, input="", capture_output=True, text=True, check=False)
    forked = commands.run(CHECKOUT, words, env)
    assert (forked.returncode, forked.stdout, forked.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_each_has_its_own_environment(commands: Forks) -> None:
    wide, narrow = (
        commands.run(CHECKOUT, ("gc", "--help"), {**os.environ, "COLUMNS": columns}) for columns in ("100", "50")
    )
    assert max(map(len, wide.stdout.splitlines())) > 50 >= max(map(len, narrow.stdout.splitlines()))
