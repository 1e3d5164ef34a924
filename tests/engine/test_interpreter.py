"""Which Python runs a program."""

import sys
from pathlib import Path

import pytest

from kube_registry.engine.errors import ColdRunError
from kube_registry.engine.interpreter import interpreter_of


def program(folder: Path, runtime: str, *virtualenvs: str) -> Path:
    for name in virtualenvs:
        (folder / name / "bin").mkdir(parents=True)
        (folder / name / "bin" / "python").touch()
    (folder / "Pulumi.yaml").write_text(f"name: any\nruntime: {runtime}\n")
    return folder


@pytest.mark.parametrize("runtime", ["python", "{name: python}", "{name: python, options: {toolchain: pip}}"])
def test_without_a_virtualenv_it_is_the_python_of_this_process(tmp_path: Path, runtime: str) -> None:
    found = interpreter_of(program(tmp_path, runtime))
    assert (found.python, found.virtualenv, found.program) == (Path(sys.executable), None, tmp_path)
    assert found.activate({"PATH": "/bin", "PYTHONHOME": "/x"}) == {"PATH": "/bin", "PYTHONHOME": "/x"}


@pytest.mark.parametrize(
    ("options", "name"),
    [("virtualenv: env", "env"), ("toolchain: uv", ".venv"), ("toolchain: poetry, virtualenv: env", "env")],
)
def test_it_is_in_the_virtualenv_that_the_program_names(tmp_path: Path, options: str, name: str) -> None:
    found = interpreter_of(program(tmp_path, f"{{name: python, options: {{{options}}}}}", name))
    assert (found.python, found.virtualenv) == (tmp_path / name / "bin" / "python", tmp_path / name)
    assert found.activate({"PATH": "/bin", "PYTHONHOME": "/x"}) == {"PATH": f"{tmp_path}/{name}/bin:/bin"}
    assert found.activate({}) == {"PATH": f"{tmp_path}/{name}/bin"}


def test_main_is_a_folder_or_a_file_of_the_program(tmp_path: Path) -> None:
    folder = program(tmp_path, "python")
    (folder / "sub").mkdir()
    for main in ("sub", "sub/other.py"):
        (folder / "Pulumi.yaml").write_text(f"name: any\nruntime: python\nmain: {main}\n")
        assert interpreter_of(folder).program == tmp_path / "sub"


@pytest.mark.parametrize(
    "runtime",
    ["nodejs", "{name: python, options: {virtualenv: gone}}", "{name: python, options: {toolchain: poetry}}", "["],
)
def test_any_other_program_runs_cold(tmp_path: Path, runtime: str) -> None:
    with pytest.raises(ColdRunError):
        interpreter_of(program(tmp_path, runtime))


def test_a_folder_without_a_program_is_left_to_pulumi(tmp_path: Path) -> None:
    with pytest.raises(ColdRunError, match=r"Pulumi\.yaml cannot be read"):
        interpreter_of(tmp_path)
