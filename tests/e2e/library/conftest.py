"""The wheel, built from this checkout, and a virtualenv that has nothing but it and what it requires."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, Lab

PINS = CHECKOUT / "lab" / "constraints.txt"
_UV = Path(sys.executable).with_name("uv")


def python_of(virtualenv: Path, lab: Lab) -> str:
    """PATH with a virtualenv before all else, where the lab's old language host of Python looks for one."""
    return f"{virtualenv / 'bin'}:{lab.env['PATH']}"


def run(command: Sequence[object]) -> None:
    subprocess.run([str(word) for word in command], check=True, timeout=240)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns("__pycache__", ".venv")
    shutil.copytree(CHECKOUT / "kube_registry", folder / "source" / "kube_registry", ignore=left_out)
    shutil.copytree(CHECKOUT / "components", folder / "source" / "components", ignore=left_out)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder / "source" / name)
    run([_UV, "build", "--quiet", "--wheel", "--out-dir", folder, folder / "source"])
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Path:
    """The virtualenv."""
    folder = wheel.parent / "venv"
    run([_UV, "venv", "--quiet", "--python", sys.executable, folder])
    run([_UV, "pip", "install", "--quiet", "--python", folder, "--constraint", PINS, wheel, "pip"])
    return folder
