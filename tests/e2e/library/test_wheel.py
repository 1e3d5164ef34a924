"""The wheel in a virtualenv of its own: what can be imported and what is on PATH."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.e2e.conftest import CHECKOUT

SEE = """
import kube_registry.components as components
print(*components.__all__)
print(*(getattr(components, name).__name__ for name in components.__all__))
print(components.__file__)
"""

TYPED = """
from kube_registry.components import ClusterRegistry, ClusterRegistryArgs, ImageArgs, RegistryImage
args: ClusterRegistryArgs = {"kube_context": "prod", "claim": {"size": "1Gi"}}
image: ImageArgs = {"context": "./app"}
registry = ClusterRegistry("registry", args)
reveal_type(RegistryImage("app", image, registry=registry).reference)
reveal_type(registry.references)
ClusterRegistry("other", kube_context="prod", node_prot=30100)
"""


def run(*command: str | Path, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout


def test_public_names_can_be_imported(installed: Path, tmp_path: Path) -> None:
    names, found, home = run(installed / "bin" / "python", "-c", SEE, folder=tmp_path).splitlines()
    assert names == found == "ClusterRegistry ClusterRegistryArgs ImageArgs RegistryImage SharedVolume SharedVolumeArgs"
    assert home.startswith(str(installed))


def test_the_command_line_is_on_path(installed: Path, tmp_path: Path) -> None:
    shown = run(installed / "bin" / "registryctl", "--help", folder=tmp_path)
    assert shown.startswith("Usage: registryctl ")
    for verb in ("tunnel", "doctor", "fleet"):
        assert run(installed / "bin" / "registryctl", verb, "--help", folder=tmp_path)


def test_it_is_typed(installed: Path) -> None:
    assert list(installed.glob("lib/python*/site-packages/kube_registry/py.typed"))


def test_a_type_checker_knows_the_public_names(installed: Path, tmp_path: Path) -> None:
    """They are imported when they are first used, so that without more ado each would be an object to it."""
    (tmp_path / "program.py").write_text(TYPED)
    python, cache = installed / "bin" / "python", tmp_path / "cache"
    words = ("mypy", "--strict", "--python-executable", python, "--cache-dir", cache, "program.py")
    command: tuple[str | Path, ...] = (sys.executable, "-m", *words)
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    lines = checked.stdout.splitlines()
    for line, said in ((6, 'type is "pulumi.output.Output[str]"'), (7, "Output[dict[str, str]]"), (8, "node_prot")):
        assert any(each.startswith(f"program.py:{line}: ") and said in each for each in lines), checked.stdout
    assert lines[-1].startswith("Found 1 error ")


def test_every_folder_of_the_package_is_in_it() -> None:
    listed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    package = CHECKOUT / "kube_registry"
    folders = {".".join(("kube_registry", *file.parent.relative_to(package).parts)) for file in package.rglob("*.py")}
    assert set(listed) == {*folders, "kube_registry.components"}


def test_every_package_that_is_imported_is_declared() -> None:
    """What is imported only because another requirement brings it is gone when that changes."""
    names = {"yaml": "pyyaml", "grpc": "pulumi", "google": "pulumi", "click": "typer", "pulumi_policy": ""}
    declared = {line.split(">=")[0] for line in (CHECKOUT / "requirements.txt").read_text().splitlines()}
    files = [file for place in ("kube_registry", "components") for file in (CHECKOUT / place).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    imported = {each.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for each in node.names}
    imported |= {str(n.module).split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    foreign = imported - {"kube_registry", "components"} - sys.stdlib_module_names
    assert {names.get(name, name.replace("_", "-")) for name in foreign} <= declared
