"""The wheel of this checkout, and a virtualenv that contains only it and what it requires, as its users install it."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PINS = CHECKOUT / "lab" / "constraints.txt"
_UV = Path(sys.executable).with_name("uv")


def build_wheel(folder: Path) -> Path:
    """Build the wheel into a folder and return its path."""
    left_out = shutil.ignore_patterns("__pycache__", ".venv")
    shutil.copytree(CHECKOUT / "kube_registry", folder / "source" / "kube_registry", ignore=left_out)
    shutil.copytree(CHECKOUT / "components", folder / "source" / "components", ignore=left_out)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder / "source" / name)
    run([_UV, "build", "--quiet", "--wheel", "--out-dir", folder, folder / "source"])
    (made,) = folder.glob("*.whl")
    return made


def install_wheel(wheel: Path, folder: Path) -> Path:
    """Create a virtualenv in a folder, install the wheel into it, and return the folder."""
    run([_UV, "venv", "--quiet", "--python", sys.executable, folder])
    run([_UV, "pip", "install", "--quiet", "--python", folder, "--constraint", PINS, wheel, "pip"])
    return folder


def run(command: Sequence[object]) -> None:
    """Run a command, which must succeed."""
    subprocess.run([str(word) for word in command], check=True, timeout=240)
