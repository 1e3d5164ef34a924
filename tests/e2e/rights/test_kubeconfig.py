"""A kubeconfig that the stack's config holds as a secret: it serves everywhere and is printed nowhere."""

import base64
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from pulumi import automation

from tests.e2e.conftest import STACK, Lab, Program, new_program


@pytest.fixture(scope="module")
def secret(lab: Lab, checkout: Path) -> Iterator[Program]:
    """The program, deployed by a kubeconfig that is in its config only."""
    made = new_program(replace(lab, env={**lab.env, "KUBECONFIG": "/nowhere"}), checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app")
    made.stack.set_config("kubeconfig", automation.ConfigValue(lab.cluster.kubeconfig.read_text(), secret=True))
    yield made
    made.destroy()


@pytest.fixture
def credentials(lab: Lab) -> set[str]:
    """Every full line of the certificates and keys in the lab's kubeconfig, and these in base64."""
    content = json.loads(lab.cluster.kubeconfig.read_text())
    (user,), (cluster,) = content["users"], content["clusters"]
    data = [value for entry in (user["user"], cluster["cluster"]) for key, value in entry.items() if "data" in key]
    lines = [line for each in data for line in base64.b64decode(each).decode().splitlines() if len(line) == 64]
    assert len(lines) > 10
    return {*data, *lines}


def test_it_serves_everywhere_and_is_printed_nowhere(lab: Lab, secret: Program, credentials: set[str]) -> None:
    """One up, the same again as YAML, a refresh, a kube context that it does not have, the doctor."""
    lines: list[str] = []

    def pulumi(*words: str) -> int:
        done = secret.run("pulumi", *words, "--stack", STACK, "--non-interactive")
        lines.extend([done.stdout, done.stderr])
        return done.returncode

    assert pulumi("up", "--yes", "--diff") == 0, lines
    text = yaml.safe_dump(json.loads(lab.cluster.kubeconfig.read_text()))
    secret.stack.set_config("kubeconfig", automation.ConfigValue(text, secret=True))
    assert pulumi("preview", "--diff") == 0, lines
    assert "kubeconfig" in lines[-2]
    assert "replace" not in lines[-2]
    assert pulumi("up", "--yes", "--diff", "--refresh") == 0, lines
    doctor = secret.registryctl("doctor")
    assert doctor.returncode == 0, doctor
    with secret.changed({"kubeContext": "another"}):
        assert pulumi("up", "--yes", "--diff") != 0
        assert "cannot be used with kubeconfig given as text" in "".join(lines)
    assert pulumi("stack", "export") == 0
    printed = "".join([*lines, doctor.stdout, doctor.stderr])
    assert not [each for each in credentials if each in printed]


def test_a_fleet_finds_it_in_the_stacks_own_file(lab: Lab, secret: Program, credentials: set[str]) -> None:
    """A rollout, the look at its health, and the review of a change."""
    secret.up()
    stack = {"name": STACK, "kubeContext": lab.cluster.kube_context, "images": {"app": {"context": "./app"}}}
    (secret.folder / "fleet.yaml").write_text(yaml.safe_dump({"stacks": [stack]}))
    printed = ""
    for words in (["fleet", "up", "--report", "report.html"], ["fleet", "status"], ["review"], ["fleet", "list"]):
        done = secret.run(sys.executable, "-m", "registryctl", *words)
        assert done.returncode == 0, done
        printed += done.stdout + done.stderr
    printed += (secret.folder / "report.html").read_text()
    assert "secure" in (secret.folder / f"Pulumi.{STACK}.yaml").read_text()
    assert not [each for each in credentials if each in printed]
