"""The first way to start of README.md, line by line."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program
from tests.e2e.library.conftest import python_of
from tests.wheel import run

pytestmark = pytest.mark.lab

README = (CHECKOUT / "README.md").read_text()
INSTALL = "python -m pip install ."
(CODE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROJECT = "name: mine\nruntime: {name: python, options: {toolchain: pip, virtualenv: .venv}}\n"


@pytest.fixture
def program(lab: Lab, installed: Path, tmp_path: Path) -> Iterator[Program]:
    folder = tmp_path / "mine"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / "Pulumi.yaml").write_text(PROJECT)
    (folder / "__main__.py").write_text(CODE.replace("my-context", lab.cluster.kube_context))
    (folder / ".venv").symlink_to(installed)
    made = new_program(lab, tmp_path, folder, PATH=python_of(installed, lab))
    yield made
    made.destroy()


def test_a_program_of_five_lines_pushes_its_image(program: Program) -> None:
    program.up()
    assert re.fullmatch(r"localhost:30100/app:[0-9a-f]{16}@sha256:[0-9a-f]{64}", program.output("image"))


def test_the_install_command_installs_the_components(wheel: Path, installed: Path) -> None:
    """In the folder that the wheel was built from; the requirements are there already."""
    assert f"```console\n{INSTALL}\n```" in README
    run([installed / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "kube-registry"])
    command = [str(installed / "bin" / "python"), *INSTALL.split()[1:], "--quiet"]
    subprocess.run(command, cwd=wheel.parent / "source", check=True, timeout=240)
    run([installed / "bin" / "registryctl", "--help"])
