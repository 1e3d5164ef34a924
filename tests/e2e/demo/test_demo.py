"""The commands of README.md, docs/start.md and docs/clone-and-run.md, run as a new user would.

These tests run last, because `make down` stops every cluster of the lab.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import cluster, processes, spec
from tests.e2e.conftest import CHECKOUT, Lab

pytestmark = pytest.mark.lab

README, START, CLONE, DESIGN = (
    (CHECKOUT / name).read_text()
    for name in ("README.md", "docs/start.md", "docs/clone-and-run.md", "docs/architecture.md")
)
INLINE = set(re.findall(r"`(make [a-z-]+)`", README + START + DESIGN))


def console(page: str) -> list[list[str]]:
    """Return the lines of each block of commands of a page."""
    return [block.split("\n") for block in re.findall(r"```console\n(.*?)\n```", page, re.DOTALL)]


DEPLOY, (BY_HAND,) = console(CLONE)
(LOOK_AROUND,) = console(START)
EVAL = 'eval "$(python3 -m lab env)"'
ELSEWHERE = {"make test", "make test-all", "make lint", "make golden"}
"""`make test-all` runs this test; the others have one of their own."""


def run(command: str, folder: Path, env: dict[str, str] | None = None) -> str:
    """Run a line of a shell to its end and return what it printed."""
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class TestOwnCluster:
    def test_clone_and_run_is_plain_pulumi(self, lab: Lab, tmp_path: Path) -> None:
        folder = tmp_path / "kube-registry"
        shutil.copytree(CHECKOUT, folder, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache"))
        state = tmp_path / "state"
        state.mkdir()
        env = {**lab.env, "PULUMI_BACKEND_URL": f"file://{state}"}
        commands = [line.replace("my-context", lab.cluster.kube_context) for line in DEPLOY]
        assert commands[-1] == "pulumi up"
        for command in commands[:-1]:
            run(command, folder, env)
        run("pulumi up --yes --skip-preview", folder, env)
        assert re.fullmatch(
            r"localhost:30100/app:[0-9a-f]{16}@sha256:[0-9a-f]{64}\n", run("pulumi stack output image", folder, env)
        )
        run("pulumi destroy --yes --skip-preview", folder, env)


@pytest.mark.skipif(
    any(running.name == "dev" for running in cluster.clusters()),
    reason="a demo of yours is running, and this test would end it; `make down` first",
)
class TestDemo:
    @pytest.fixture(scope="class", autouse=True)
    def nothing_left(self) -> None:
        """A demo that was killed left the state of its stacks."""
        run("make down", CHECKOUT)

    def test_make_up_shows_pods_that_run_the_reference(self) -> None:
        shown = run("make up", CHECKOUT)
        assert "14 created" in shown or "14 unchanged" in shown
        reference = re.search(r"pull reference: localhost:30100/app:[0-9a-f]{16}@sha256:[0-9a-f]{64}\n", shown)
        assert reference
        pods = [line for line in shown.splitlines() if line.startswith("default/web-")]
        assert len(pods) == 2
        assert all("Running" in pod and "the pull reference" in pod for pod in pods)
        phases = shown.partition("\nphase ")[2]
        for phase in ("tools", "Docker engine", "cluster", "pulumi up", "pulumi up, downstream"):
            assert re.search(rf"^{phase} +[0-9.]+ s", phases, re.MULTILINE), phases
        assert "make shell" in phases
        assert EVAL in phases

    def test_make_up_again_changes_nothing(self) -> None:
        shown = run("make up", CHECKOUT)
        assert "14 unchanged" in shown
        assert " 3 unchanged" in shown

    @pytest.mark.parametrize("start", [f"{EVAL}; sh", "make shell"])
    def test_commands_of_ones_own_work_on_it(self, start: str) -> None:
        assert LOOK_AROUND == ["kubectl get nodes", "pulumi stack ls", "registryctl doctor"]
        typed = "{ " + "; ".join(f"echo {line}" for line in LOOK_AROUND) + "; }"
        shown = run(f"{typed} | ({start})", CHECKOUT)
        assert "dev-n0" in shown
        assert re.search(r"^dev\*", shown, re.MULTILINE)
        assert "dev-n1" in shown.partition("dev*")[2], "the doctor speaks of every node"

    def test_make_preview_shows_no_change(self) -> None:
        shown = run("make preview", CHECKOUT)
        assert "14 unchanged" in shown

    def test_make_down_leaves_nothing(self) -> None:
        run("make down", CHECKOUT)
        assert spec.names() == []
        assert processes._marked("dev") == []
        assert "kube-registry-lab" not in Path("/proc/mounts").read_text()
        assert list(Path("/sys/class/net").glob("lab*")) == []

    def test_make_help_names_every_target(self) -> None:
        shown = run("make help", CHECKOUT)
        assert {command for command in INLINE if command not in shown} == set()

    def test_every_command_of_the_pages_is_run(self) -> None:
        library, own, demo = console(README)
        assert library == ["python -m pip install ."], "e2e/library installs the wheel of it"
        assert own == [f"make {verb} KUBE_CONTEXT=my-context" for verb in ("up", "down")], (
            "e2e/lab/test_own_cluster.py runs it"
        )
        assert re.fullmatch(r"\.venv/bin/python -m registryctl tunnel .*", BY_HAND), "e2e/tunnel/test_tunnel.py runs it"
        assert demo == ["make up", "make down"]
        assert f"`{EVAL}`" in START
        assert {"make up", "make down", "make preview", "make shell", "make help"} | ELSEWHERE == INLINE


class TestWhereTheLabCannotRun:
    def test_somebody_who_is_not_root_is_told_what_to_do_instead(self) -> None:
        command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "make", "up"]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
        sentence, makes_own = done.stderr.splitlines()
        assert sentence.startswith("The lab requires root")
        assert "`make up KUBE_CONTEXT=NAME`" in sentence
        assert "*** [" in makes_own, "the last word is that of make itself"
