"""A secret build argument reaches the build, and neither state nor anything that is printed or written."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from kube_registry.registry.api import ANY_MANIFEST
from tests.e2e.conftest import STACK, Lab, Program

pytestmark = pytest.mark.lab

SECRET = "s3cr3tOfNpm"  # noqa: S105 - of this test
DOCKERFILE = 'FROM busybox:stable\nARG NPM_TOKEN\nARG NODE\nRUN test "$NPM_TOKEN" && test "$NODE" = 20\n'
READ_DOOR = "http://127.0.0.1:30100/v2/secretive"
READ_CONFIG = f"""
import json, sys, urllib.request as u
accepted = {{"Accept": "{ANY_MANIFEST}"}}
get = lambda path: json.load(u.urlopen(u.Request(sys.argv[1] + path, headers=accepted), timeout=5))
print(get("/blobs/" + get("/manifests/" + sys.argv[2])["config"]["digest"]))
"""


@pytest.fixture(scope="module")
def secretive(program: Program) -> Program:
    (program.folder / "secretive").mkdir()
    (program.folder / "secretive" / "Dockerfile").write_text(DOCKERFILE)
    for line in (
        ["rm", "--path", "images"],
        ["set", "--path", "images.secretive.context", "./secretive"],
        ["set", "--path", "images.secretive.buildArgs.NODE", "20"],
        ["set", "--secret", "--path", "images.secretive.buildArgs.NPM_TOKEN", SECRET],
    ):
        says(program, "pulumi", "config", *line)
    return program


def says(program: Program, *command: str) -> str:
    """What a command prints, which has to succeed."""
    stack = ["--stack", STACK] if command[0] == "pulumi" else []
    done = program.run(*command, *stack)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def files_with(folder: Path, text: str) -> list[Path]:
    """The files below a folder that hold a text."""
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def registryctl(*words: str) -> list[str]:
    return [sys.executable, "-m", "registryctl", *words]


class TestSecrets:
    """One stack; each test goes on where the one before has ended."""

    def test_a_preview_shows_the_name_of_the_argument_and_not_its_value(self, secretive: Program) -> None:
        text = says(secretive, "pulumi", "preview", "--diff", "--non-interactive")
        assert "NPM_TOKEN" in text
        assert SECRET not in text
        assert text.count("part of the image's history") == 1
        assert SECRET not in says(secretive, "pulumi", "preview", "--json", "--non-interactive")

    def test_an_update_builds_with_it_and_keeps_it_out_of_state_and_logs(self, secretive: Program) -> None:
        text = says(secretive, "pulumi", "up", "--yes", "--skip-preview", "--diff", "--non-interactive")
        assert SECRET not in text
        state = says(secretive, "pulumi", "stack", "export")
        assert SECRET not in state
        reference = secretive.output("images")["secretive"]
        assert reference in state
        assert reference in says(secretive, "pulumi", "stack", "output", "--json")
        (built,) = (
            each
            for each in json.loads(state)["deployment"]["resources"]
            if each["type"].startswith("docker:index/image:")
        )
        assert built["outputs"]["repoDigest"].rpartition("@")[2] == reference.rpartition("@")[2]
        assert built["inputs"]["build"]["args"].keys() == {"NODE", "NPM_TOKEN"}

    def test_the_image_holds_it_as_the_warning_says(self, secretive: Program, lab: Lab) -> None:
        digest = secretive.output("images")["secretive"].rpartition("@")[2]
        node = f"--net={lab.cluster.nodes[0].netns}"
        done = secretive.run("nsenter", node, sys.executable, "-c", READ_CONFIG, READ_DOOR, digest)
        assert SECRET in done.stdout, done.stderr

    def test_our_own_commands_know_it_and_print_none_of_it(self, secretive: Program) -> None:
        tagged = secretive.output("images")["secretive"].partition("@")[0]
        assert secretive.registryctl("reference").stdout.strip() == tagged
        for words in (["images"], ["doctor"], ["review", "--markdown"]):
            done = secretive.registryctl(*words)
            assert SECRET not in done.stdout + done.stderr
            assert done.returncode == 0 or words == ["doctor"], done.stdout + done.stderr

    def test_another_secret_is_another_tag(self, secretive: Program) -> None:
        before = secretive.registryctl("reference").stdout
        with secretive.changed({}):
            says(
                secretive,
                "pulumi",
                "config",
                "set",
                "--secret",
                "--path",
                "images.secretive.buildArgs.NPM_TOKEN",
                "other",
            )
            assert secretive.registryctl("reference").stdout != before

    def test_a_rollout_keeps_it_reports_none_of_it_and_leaves_the_stack_alone(self, secretive: Program) -> None:
        config = yaml.safe_load((secretive.folder / f"Pulumi.{STACK}.yaml").read_text())["config"]
        entry = {"name": STACK, "kubeContext": config["kube-registry:kubeContext"]}
        images = {"secretive": {"context": "./secretive", "buildArgs": {"NODE": 20}}}
        fleet = secretive.folder / "fleet.yaml"
        fleet.write_text(yaml.safe_dump({"defaults": {"images": images}, "stacks": [entry]}))
        try:
            up = registryctl("fleet", "up", "--json", "--report", "report.html", "--report", "report.json")
            first, second = says(secretive, *up), says(secretive, *up)
            review = says(secretive, *registryctl("review", "--markdown", "--base", "HEAD"))
            status = says(secretive, *registryctl("fleet", "status"))
        finally:
            fleet.unlink()
        assert json.loads((secretive.folder / "report.json").read_text())["outcomes"][0]["result"] == "left alone"
        assert SECRET not in first + second + review + status
        assert "No changes." in review
        assert "| image |" not in review
        says(secretive, "pulumi", "preview", "--expect-no-changes", "--non-interactive")

    def test_no_file_of_the_program_or_its_state_holds_it(self, secretive: Program) -> None:
        assert files_with(secretive.folder, SECRET) == []
