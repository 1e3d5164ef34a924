"""`pulumi new` from template/, with the built wheel: a project that works."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import CHECKOUT, Lab
from tests.e2e.library.conftest import python_of
from tests.wheel import PINS

pytestmark = pytest.mark.lab


def test_a_new_project_pushes_its_image(lab: Lab, wheel: Path, tmp_path: Path) -> None:
    folder, state = tmp_path / "shop", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    env = {
        **lab.env,
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_CONSTRAINT": str(PINS),
        "PATH": python_of(folder, lab),  # where the lab's old language host makes the virtualenv
    }

    def pulumi(*words: str) -> str:
        command = ["pulumi", *words, "--non-interactive"]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    given = ["--name", "shop", "--stack", "dev", "--config", f"kubeContext={lab.cluster.kube_context}", "--yes"]
    pulumi("new", str(CHECKOUT / "template"), *given)
    pulumi("up", "--yes", "--skip-preview")
    try:
        assert re.fullmatch(
            r"localhost:30100/app:[0-9a-f]{16}@sha256:[0-9a-f]{64}\n", pulumi("stack", "output", "image")
        )
    finally:
        pulumi("destroy", "--yes", "--skip-preview")
