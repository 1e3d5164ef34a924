"""A stack that another update holds, on the real `pulumi`: who holds it, and whether it may be released. No cluster."""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.parts import PULUMI, of_cluster
from lab.progress import Progress
from lab.pulumi_home import environment
from lab.toolchain import provide
from lab.versions import chosen
from tests.e2e.conftest import CHECKOUT

pytestmark = pytest.mark.lab

SINCE = "2026-11-29T09:30:00Z"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of one stack, with a state of its own."""
    provide(Progress(), (*of_cluster(chosen()), PULUMI))
    state = tmp_path / "state"
    state.mkdir()
    surroundings: Mapping[str, str] = {**environment(), "PULUMI_BACKEND_URL": f"file://{state}"}
    for key, value in surroundings.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "Pulumi.yaml").write_text((CHECKOUT / "Pulumi.yaml").read_text())
    (tmp_path / "__main__.py").write_text("")
    (tmp_path / "fleet.yaml").write_text("stacks: [{name: prod, kubeContext: nowhere, images: {app: {}}}]\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    subprocess.run(["pulumi", "stack", "init", "prod", "--no-select"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def lock(project: Path, host: str, pid: int, user: str = "alice") -> Path:
    """Lock the stack as another `pulumi` does."""
    file = project / "state" / ".pulumi" / "locks" / "organization" / "kube-registry" / "prod" / "other.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"pid": pid, "username": user, "hostname": host, "timestamp": SINCE}))
    return file


def fleet(project: Path, verb: str) -> str:
    """What the run of the fleet prints, which fails."""
    command = [sys.executable, "-m", "registryctl", "fleet", verb, "--yes"] if verb == "destroy" else []
    command = command or [sys.executable, "-m", "registryctl", "fleet", verb]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    return done.stdout + done.stderr


def ended_pid() -> int:
    """The pid of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    return gone.pid


@pytest.mark.parametrize(("verb", "user"), [("refresh", "alice"), ("destroy", r"ACME\Ada Lovelace")])
def test_a_colleague_is_named_and_nothing_is_offered_for_release(project: Path, verb: str, user: str) -> None:
    pid = ended_pid()  # no process of this machine, and of no meaning here
    file = lock(project, "build-7", pid, user)
    said = " ".join(fleet(project, verb).split())
    assert f"{user}@build-7 (pid {pid}) since {SINCE}" in said
    assert "pulumi cancel" not in said
    assert file.exists()


def test_a_process_of_this_machine_that_runs_is_nothing_to_release(project: Path) -> None:
    lock(project, socket.gethostname(), os.getpid())
    assert "pulumi cancel" not in fleet(project, "refresh")


def test_the_lock_of_one_that_is_gone_is_released_by_the_command(project: Path) -> None:
    file = lock(project, socket.gethostname(), ended_pid())
    said = " ".join(fleet(project, "refresh").split())
    (command,) = {part for part in said.split("`") if part.startswith("pulumi cancel")}
    subprocess.run(shlex.split(command), cwd=project, check=True, capture_output=True)
    assert not file.exists()
