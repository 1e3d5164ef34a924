"""`make up KUBE_CONTEXT=NAME`: the demo on a cluster that is there, from a clone on a computer without a lab."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import own_cluster
from lab.pulumi_home import DOCKER, KUBERNETES
from lab.toolchain import tool
from tests.conftest import Lab
from tests.e2e.conftest import CHECKOUT

pytestmark = pytest.mark.lab

TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True
).stdout.splitlines()


UP, DOWN = re.findall(r"^make (?:up|down) KUBE_CONTEXT=.*$", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
"""The lines of README.md, for a cluster that it calls my-context."""


@dataclass(frozen=True)
class Computer:
    """A computer of a person: a clone, a home, and the programs that are installed."""

    clone: Path
    env: dict[str, str] = field(repr=False)

    @property
    def cache(self) -> Path:
        """Where a lab would be built."""
        return Path(self.env["XDG_CACHE_HOME"]) / "kube-registry-lab"

    def run(self, line: str, **other: str) -> "subprocess.CompletedProcess[str]":
        """A line of a shell; `other` are variables that differ."""
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.clone,
            env={**self.env, **other},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def read(self, line: str, **other: str) -> str:
        """What a line prints, which has to succeed."""
        done = self.run(line, **other)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def computer(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computer]:
    """One with Pulumi and Docker on PATH and a kubeconfig at its usual place, and no Go."""
    folder = tmp_path_factory.mktemp("computer")
    clone, programs, python, home = (folder / name for name in ("clone", "programs", "python", "home"))
    for name in TRACKED:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, clone / name, follow_symlinks=False)
    programs.mkdir()
    docker = shutil.which("docker", path=lab.env["PATH"])
    assert docker
    installed = [tool(name) for name in ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")]
    for program in (*installed, Path(docker)):
        (programs / program.name).symlink_to(program)
    python.mkdir()
    (python / "python3").symlink_to(Path(sys.base_prefix, "bin", "python3"))
    (home / ".kube").mkdir(parents=True)
    shutil.copy(lab.cluster.kubeconfig, home / ".kube" / "config")
    plugins = home / ".pulumi" / "plugins"
    for plugin in (KUBERNETES, DOCKER):  # Pulumi does not look into a folder that is a link
        shutil.copytree(plugin.folder, plugins / plugin.folder.name, copy_function=os.symlink)
    stand_in = {name: lab.env[name] for name in ("KUBE_REGISTRY_LAB_PYTHON", "KUBE_REGISTRY_LAB_CHECKOUT")}
    made = Computer(
        clone,
        {
            **stand_in,  # where the released Docker plugin cannot be downloaded
            "HOME": str(home),
            "PULUMI_HOME": str(home / ".pulumi"),  # it goes by the account's home, not by HOME
            "PATH": f"{programs}:{python}:/usr/bin:/bin",
            "DOCKER_HOST": lab.env["DOCKER_HOST"],
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        },
    )
    virtualenv = Path(made.read("make --no-print-directory --eval 'where: ; @echo $(VENV)' where").strip())
    virtualenv.parent.mkdir(parents=True)
    virtualenv.symlink_to((CHECKOUT / ".venv").resolve())  # making it takes a minute
    yield made
    made.run(DOWN.replace("my-context", lab.cluster.kube_context))


class TestWhatIsMissing:
    """Each is one sentence on standard error, and the fix in it; the rest of the output is that of `make`."""

    def test_pulumi(self, computer: Computer) -> None:
        path = computer.env["PATH"].partition(":")[2]
        assert said(computer.run("make up KUBE_CONTEXT=kind", PATH=path)).startswith("pulumi is not on PATH")

    def test_docker(self, computer: Computer) -> None:
        error = said(computer.run("make up KUBE_CONTEXT=kind", DOCKER_HOST="unix:///nowhere/docker.sock"))
        assert error.startswith("cannot connect to the Docker daemon at unix:///nowhere/docker.sock")

    def test_the_kube_context(self, computer: Computer, lab: Lab) -> None:
        error = said(computer.run("make up KUBE_CONTEXT=kind"))
        assert error.startswith("Kube context 'kind' cannot be used with kubeconfig ~/.kube/config")
        assert lab.cluster.kube_context in error

    def test_the_kubeconfig(self, computer: Computer) -> None:
        error = said(computer.run("make down KUBE_CONTEXT=kind", KUBECONFIG="/nowhere/config"))
        assert "/nowhere/config: there is no such file. Fix: " in error


def said(done: "subprocess.CompletedProcess[str]") -> str:
    sentence, makes_own = done.stderr.splitlines()
    assert makes_own.startswith("make: *** [")
    return sentence


class TestOwnCluster:
    """In the order of a person's day."""

    def test_up_shows_pods_that_run_the_reference(self, computer: Computer, lab: Lab) -> None:
        shown = computer.read(UP.replace("my-context", lab.cluster.kube_context))
        assert re.search(r"pull reference: localhost:30100/app:[0-9a-f]{16}@sha256:[0-9a-f]{64}\n", shown)
        pods = [line for line in shown.splitlines() if line.startswith("default/web-")]
        assert [" ".join(pod.split()[2:]) for pod in pods] == ["Running the pull reference"] * len(lab.cluster.nodes)

    def test_nothing_was_built(self, computer: Computer) -> None:
        kinds = {entry.name.partition("-")[0] for entry in computer.cache.iterdir()}
        assert kinds == {"venv", "logs", "own"}, "the virtualenv, logs of pulumi, and the state of the stack"

    def test_the_state_is_where_it_says(self, computer: Computer, lab: Lab) -> None:
        name = own_cluster.stack_name(lab.cluster.kube_context)
        assert (
            computer.cache / "own-clusters" / name / ".pulumi" / "stacks" / "kube-registry" / f"{name}.json"
        ).exists()
        lines = computer.run(f"python3 -m lab env --kube-context {lab.cluster.kube_context}")
        assert f"file://{computer.cache / 'own-clusters' / name}" in lines.stdout
        assert f"file://{computer.cache / 'own-clusters' / name}" in lines.stderr

    def test_commands_of_ones_own_work_on_it(self, computer: Computer, lab: Lab) -> None:
        exports = f'eval "$(python3 -m lab env --kube-context {lab.cluster.kube_context})"'
        name = own_cluster.stack_name(lab.cluster.kube_context)
        assert re.search(rf"^{name}\*", computer.read(f"{exports}; pulumi stack ls"), re.MULTILINE)
        assert "app" in computer.read(f"{exports}; registryctl images")

    def test_preview_shows_no_change(self, computer: Computer, lab: Lab) -> None:
        shown = computer.read(f"make preview KUBE_CONTEXT={lab.cluster.kube_context}")
        assert len(re.findall(r"^ +[0-9]+ unchanged$", shown, re.MULTILINE)) == 2

    def test_down_takes_it_away(self, computer: Computer, lab: Lab) -> None:
        computer.read(DOWN.replace("my-context", lab.cluster.kube_context))
        assert "kube-registry" not in {each["metadata"]["name"] for each in lab.get("namespaces")}
        assert not lab.get("daemonsets", "--namespace", "default")
        assert not list((computer.cache / "own-clusters").iterdir())
        assert not list(computer.clone.rglob("Pulumi.demo-*.yaml"))

    def test_a_login_of_ones_own_is_kept(self, computer: Computer, lab: Lab, tmp_path: Path) -> None:
        computer.read(f"pulumi login file://{tmp_path}")
        lines = computer.read(f"python3 -m lab env --kube-context {lab.cluster.kube_context}")
        assert f"file://{tmp_path}, where Pulumi is logged in" in lines
        assert "PULUMI_BACKEND_URL" not in lines
        assert not list((computer.cache / "own-clusters").iterdir())

    def test_a_later_login_does_not_hide_what_is_deployed(self, computer: Computer, lab: Lab, tmp_path: Path) -> None:
        computer.read(f"pulumi login file://{tmp_path}")
        state = computer.cache / "own-clusters" / own_cluster.stack_name(lab.cluster.kube_context)
        (state / ".pulumi").mkdir(parents=True)
        lines = computer.read(f"python3 -m lab env --kube-context {lab.cluster.kube_context}")
        assert f"PULUMI_BACKEND_URL=file://{state}\n" in lines
