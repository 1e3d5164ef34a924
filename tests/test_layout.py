"""What stands where, as far as the contracts in pyproject.toml cannot say it; those are part of `make lint`."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grimp
import pytest
import yaml

from kube_registry.fleet.fingerprint import PROGRAM

ROOT = Path(__file__).parents[1]
PRODUCT = ("kube_registry", "components", "policy")

RUNS_PROGRAMS = {
    "kube_registry/docker_daemon/config.py",
    "kube_registry/docker_daemon/ssh.py",
    "kube_registry/engine/pulumi_process.py",
    "kube_registry/engine/warm.py",
    "kube_registry/kube/exec_plugin.py",
    "kube_registry/processes.py",
    "kube_registry/review/changes.py",
}
"""`pulumi`, the fork server of a program, Docker's credential helpers, ssh to a daemon, the kubeconfig's credential
plugins, `git`."""


def imported(file: Path) -> set[str]:
    """Modules that a file imports from, wherever in it."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def place_of(module: str) -> str:
    """The entry of PROGRAM that a module belongs to."""
    first, *rest = module.split(".")
    if first == "components":
        return first
    place = "/".join([first, *rest[:1]]) if rest else f"{first}/__init__"
    return place if (ROOT / place).is_dir() else f"{place}.py"


def test_a_fingerprint_reads_all_that_an_update_imports_and_nothing_else() -> None:
    graph = grimp.build_graph("kube_registry", "components")
    own = {name for name in imported(ROOT / "__main__.py") if name in graph.modules}
    read = own.union(*(graph.find_upstream_modules(name) for name in own))
    packages = {parent for name in read for parent in (name.rpartition(".")[0], name.split(".")[0]) if parent}
    assert {place_of(name) for name in read | packages} == set(PROGRAM) - {
        "Pulumi.yaml",
        "__main__.py",
        "requirements.txt",
    }


def test_the_program_runs_no_other_program() -> None:
    """No kubectl: the tunnel and every question to the cluster are our own."""
    runs_one = re.compile(r"subprocess|kube_registry\.processes import")
    files = [ROOT / "__main__.py", *(file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py"))]
    runs = {str(file.relative_to(ROOT)) for file in files if runs_one.search(file.read_text())}
    assert runs == RUNS_PROGRAMS


@pytest.mark.parametrize("folder", PRODUCT)
def test_a_package_file_holds_no_code_but_public_names(folder: str) -> None:
    allowed = {
        ROOT / "kube_registry" / "__init__.py": 2,  # the version
        ROOT / "components" / "__init__.py": None,  # imports public names when they are used
    }
    for file in (ROOT / folder).rglob("__init__.py"):
        assert allowed.get(file, 1) in (None, len(ast.parse(file.read_text()).body)), file


def test_every_folder_of_the_package_is_one() -> None:
    for file in (ROOT / "kube_registry").rglob("*.py"):
        assert file.with_name("__init__.py").exists(), file


def test_registryctl_is_a_module_of_the_checkout() -> None:
    done = subprocess.run([sys.executable, "-m", "registryctl", "--help"], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Usage: python -m registryctl" in done.stdout


def selected(command: list[str]) -> set[Path]:
    """The files of tests that a command of pytest runs."""
    files = set((ROOT / "tests").rglob("test_*.py"))
    folders = [ROOT / word for word in command if word.startswith("tests")] or [ROOT / "tests"]
    ignored = [ROOT / word.partition("=")[2] for word in command if word.startswith("--ignore=")]
    inside = {file for file in files if any(file.is_relative_to(folder) for folder in folders)}
    return {file for file in inside if not any(file.is_relative_to(folder) for folder in ignored)}


def test_each_file_of_tests_runs_once_in_continuous_integration() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    targets = re.findall(r"\bmake (test\S*)$", script, re.MULTILINE)
    dry = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [line.split()[3:] for line in dry.splitlines() if " -m pytest" in line]
    run = Counter(file for command in commands for file in selected(command))
    assert run == Counter((ROOT / "tests").rglob("test_*.py"))


def test_every_yaml_file_can_be_read() -> None:
    """A project that only the bench runs is read by no other test."""
    command = ["git", "ls-files", "*.yaml", "*.yml"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    files = [ROOT / name for name in listed.stdout.split()]
    assert files
    for file in files:
        assert list(yaml.load_all(file.read_text(), Loader=yaml.BaseLoader)), file
