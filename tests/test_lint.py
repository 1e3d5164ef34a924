"""Style, format and types, as `make lint` checks them."""

import subprocess
from pathlib import Path


def test_make_lint_finds_nothing() -> None:
    done = subprocess.run(
        ["make", "lint"], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
