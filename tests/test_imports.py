"""Imports run one way, so that each room can be read without the ones behind it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "kube_registry": {"kube_registry"},
    "stack": {"stack"},
    "cluster": {"kube_registry", "stack", "cluster"},
    "components": {"kube_registry", "stack", "cluster", "components"},
    "__main__.py": {"stack", "cluster", "components"},
    "housekeeping": {"kube_registry", "stack", "cluster", "housekeeping"},
    "fleet": {"kube_registry", "stack", "housekeeping", "fleet"},
    "registryctl": {"kube_registry", "stack", "cluster", "housekeeping", "fleet", "registryctl"},
    "policy": {"stack", "policy"},
    "lab": {"lab", "stack"},
}
"""Room -> the rooms it may import from. cluster/push.py is the one seam between `__main__` and the live cluster."""

RUNS_PROGRAMS = {
    "cluster/docker_config.py",
    "cluster/docker_ssh.py",
    "cluster/exec_plugin.py",
    "fleet/command.py",
    "kube_registry/processes.py",
}
"""Docker's credential helpers, ssh to a daemon, the kubeconfig's credential plugins, `git`, `pulumi`."""

PULUMI = {"pulumi", "pulumi_kubernetes", "pulumi_docker"}


def modules(room: str) -> list[Path]:
    place = ROOT / room
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Top-level names of what a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names.add(str(node.module).split(".")[0])
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_before_it(room: str) -> None:
    files = modules(room)
    assert files
    for file in files:
        rooms = imported(file) & MAY_IMPORT.keys()
        assert rooms <= MAY_IMPORT[room], file


@pytest.mark.parametrize("room", ["kube_registry", "stack", "cluster", "housekeeping", "registryctl"])
def test_rooms_without_pulumi_do_not_import_it(room: str) -> None:
    for file in modules(room):
        assert not imported(file) & PULUMI, file


def test_the_stack_on_paper_opens_no_connection() -> None:
    for file in modules("stack"):
        assert not imported(file) & {"asyncio", "aiohttp", "kubernetes_asyncio", "socket", "docker"}, file


def test_the_program_runs_no_other_program() -> None:
    """No kubectl: the tunnel and every question to the cluster are our own."""
    runs = {file for room in MAY_IMPORT if room != "lab" for file in modules(room) if "subprocess" in file.read_text()}
    assert {str(file.relative_to(ROOT)) for file in runs} <= RUNS_PROGRAMS


@pytest.mark.parametrize("room", ["kube_registry", "stack", "cluster", "components", "housekeeping", "registryctl"])
def test_a_package_file_holds_a_docstring_only(room: str) -> None:
    (only,) = ast.parse((ROOT / room / "__init__.py").read_text()).body
    assert isinstance(only, ast.Expr)
