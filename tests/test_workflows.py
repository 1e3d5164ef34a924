"""The workflows: pinned, with few rights, one at a time; their comment is one comment."""

import json
import re
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kube_registry.review.markdown import MARK
from tests.fakes.workflow import CHECKOUT, WORKFLOWS, comments, job, run_step, with_gh

ENTRY = r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+)(?: ; [^\\]+?)?(?: +--hash=sha256:[0-9a-f]{64})+"

COMMENT = CHECKOUT / ".github" / "scripts" / "comment.sh"


def read(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.stem))
class TestEach:
    def test_actions_are_pinned_by_digest_and_their_version_is_said(self, file: Path) -> None:
        used = re.findall(r"uses: (.*)", file.read_text())
        assert used
        for each in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each

    def test_it_has_no_right_but_those_of_its_job(self, file: Path) -> None:
        assert read(file)["permissions"] == {}
        assert job(file.stem)["permissions"]["contents"] == "read"

    def test_it_is_bounded_and_guarded_against_itself(self, file: Path) -> None:
        assert read(file)["concurrency"]["group"]
        assert job(file.stem)["timeout-minutes"] <= 120

    def test_a_step_is_one_line_and_takes_nothing_from_the_event_into_the_shell(self, file: Path) -> None:
        for step in job(file.stem)["steps"]:
            assert step.get("run", "").count("\n") == 0
            assert "${{" not in step.get("run", "")


class TestLock:
    """requirements.lock, by which the workflows install beside cloud credentials."""

    def pinned(self) -> dict[str, str]:
        """Name of each package -> its only version."""
        lines = (CHECKOUT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
        pins = [re.fullmatch(ENTRY, line) for line in lines if not line.startswith("#")]
        assert all(pins)
        return {pin["name"]: pin["version"] for pin in pins if pin}

    @pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.stem))
    def test_the_workflows_with_credentials_install_by_it_and_build_nothing(self, file: Path) -> None:
        if "id-token" not in job(file.stem)["permissions"]:
            assert "secrets." not in file.read_text()
            return
        installed = [step["run"] for step in job(file.stem)["steps"] if "pip" in step.get("run", "")]
        flags = "--require-hashes --no-deps --only-binary :all: --requirement requirements.lock"
        assert installed == [f"python -m pip install --quiet {flags}"]

    def test_it_pins_what_the_program_requires(self) -> None:
        pinned = self.pinned()
        for line in (CHECKOUT / "requirements.txt").read_text().splitlines():
            required = Requirement(line.partition("#")[0])
            assert required.specifier.contains(pinned[required.name]), line

    def test_it_pins_what_that_requires_in_turn(self) -> None:
        """By what the packages here say, which are of nearly the same versions."""
        pinned = self.pinned()
        for name in pinned:
            with suppress(PackageNotFoundError):  # of another platform
                for line in requires(name) or ():
                    needed = Requirement(line)
                    if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                        assert canonicalize_name(needed.name) in pinned, f"{name} requires {line}"

    def test_it_names_no_registry(self) -> None:
        assert "://" not in (CHECKOUT / "requirements.lock").read_text()


def test_a_rollout_is_not_broken_off_by_the_next() -> None:
    assert read(CHECKOUT / ".github" / "workflows" / "rollout.yml")["concurrency"]["cancel-in-progress"] is False


def test_a_forks_code_gets_no_credentials() -> None:
    assert "head.repo.full_name == github.repository" in job("preview")["if"]
    assert "pull_request_target" not in (CHECKOUT / ".github" / "workflows" / "preview.yml").read_text()


class TestComment:
    def put(self, place: Path, text: str) -> None:
        (place / "preview.md").write_text(text)
        scripts = place / ".github" / "scripts"
        scripts.mkdir(parents=True, exist_ok=True)
        (scripts / "comment.sh").write_bytes(COMMENT.read_bytes())
        (scripts / "comment.sh").chmod(0o755)
        done = run_step("preview", "Comment", place, with_gh(place))
        assert done.returncode == 0, done.stderr

    def test_it_is_made_once_and_then_updated_in_place(self, tmp_path: Path) -> None:
        others = [
            {"id": 1, "type": "User", "body": f"{MARK}\nquoted by a person"},
            {"id": 2, "type": "Bot", "body": "of another bot"},
        ]
        (tmp_path / "comments.json").write_text(json.dumps(others))
        self.put(tmp_path, f"{MARK}\nfirst")
        self.put(tmp_path, f"{MARK}\nsecond")
        *kept, ours = comments(tmp_path)
        assert kept == others
        assert ours["body"] == f"{MARK}\nsecond"

    def test_one_that_is_too_long_is_cut_and_says_so(self, tmp_path: Path) -> None:
        self.put(tmp_path, f"{MARK}\n{'x' * 70000}")
        (ours,) = comments(tmp_path)
        assert len(ours["body"]) < 65536
        assert ours["body"].endswith("The rest is in the artifact of this run.\n")

    def test_it_is_not_cut_within_a_line_whose_code_spans_would_stay_open(self, tmp_path: Path) -> None:
        line = f"- `{'x' * 90} @octo/everyone {'x' * 90}`"
        self.put(tmp_path, "\n".join([MARK, *[line] * 500, ""]))
        (ours,) = comments(tmp_path)
        assert set(ours["body"].splitlines()) == {MARK, line, "", "The rest is in the artifact of this run."}

    def test_an_empty_file_replaces_no_comment(self, tmp_path: Path) -> None:
        others = [{"id": 2, "type": "Bot", "body": "of another bot"}]
        (tmp_path / "comments.json").write_text(json.dumps(others))
        (tmp_path / "preview.md").write_text("")
        command = [str(COMMENT), "preview.md"]
        done = subprocess.run(
            command, cwd=tmp_path, env=with_gh(tmp_path), capture_output=True, text=True, timeout=20, check=False
        )
        assert (done.returncode, comments(tmp_path)) == (1, others)
        assert "it is not added" in done.stderr

    def test_a_gh_that_fails_fails_the_step(self, tmp_path: Path) -> None:
        (tmp_path / "preview.md").write_text(MARK)
        env = with_gh(tmp_path)
        (tmp_path / "gh").write_text("#!/bin/sh\nexit 4\n")
        done = subprocess.run(
            [COMMENT, "preview.md"], cwd=tmp_path, env=env, capture_output=True, timeout=20, check=False
        )
        assert done.returncode != 0
