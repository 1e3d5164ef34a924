"""The wheel, built from this checkout, a virtualenv that has nothing but it and what it requires, programs on it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.parts import PULUMI_YAML
from lab.toolchain import build, tool
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program
from tests.wheel import build_wheel, install_wheel


def python_of(virtualenv: Path, lab: Lab) -> str:
    """PATH with a virtualenv before all else, where the lab's old language host of Python looks for one."""
    return f"{virtualenv / 'bin'}:{lab.env['PATH']}"


def ctl(virtualenv: Path, program: Program, *words: str) -> "subprocess.CompletedProcess[str]":
    """A verb of the wheel's registryctl, for a program's stack."""
    return program.run(str(virtualenv / "bin" / "registryctl"), *words, "--stack", program.stack.name)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Path:
    """The virtualenv."""
    return install_wheel(wheel, wheel.parent / "venv")


@pytest.fixture(scope="module")
def yaml_program(lab: Lab, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """examples/yaml; its package is an executable, because `pulumi package add` would install all requirements."""
    build(PULUMI_YAML)
    checkout = tmp_path_factory.mktemp("yaml")
    shutil.copytree(CHECKOUT / "examples" / "yaml", checkout / "yaml")
    plugin = checkout / "bin" / "pulumi-resource-kube-registry"
    plugin.parent.mkdir()
    plugin.write_text(f'#!/bin/sh\nexec {installed}/bin/python -P -m kube_registry.components "$@"\n')
    plugin.chmod(0o755)
    file = checkout / "yaml" / "Pulumi.yaml"
    described = yaml.safe_load(file.read_text())
    assert described.pop("packages") == {"kube-registry": "../../components"}
    described["plugins"] = {"providers": [{"name": "kube-registry", "path": str(plugin.parent)}]}
    file.write_text(yaml.safe_dump(described))
    host = tool("pulumi-language-yaml").parent
    made = new_program(lab, checkout, checkout / "yaml", PATH=f"{host}:{lab.env['PATH']}")
    made.configure(kubeContext=lab.cluster.kube_context)
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def library(lab: Lab, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """examples/library, which runs on the wheel."""
    checkout = tmp_path_factory.mktemp("library")
    folder = checkout / "library"
    shutil.copytree(CHECKOUT / "examples" / "library", folder)
    (folder / ".venv").symlink_to(installed)
    made = new_program(lab, checkout, folder, PATH=python_of(installed, lab))
    made.configure(clusterFile=str(lab.cluster.kubeconfig))
    yield made
    made.destroy()
