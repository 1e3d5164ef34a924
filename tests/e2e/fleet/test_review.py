"""`registryctl review` on a real cluster: what it says in review, and that it writes nothing."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kube_registry.review.markdown import MARK
from kube_registry.rules.rules import RULES
from lab import control_plane
from lab.cluster import known
from tests.e2e.access import REVIEWER, Access, manifest
from tests.e2e.conftest import CHECKOUT, STACK, Lab, Program, new_program
from tests.fakes.workflow import comments, run_step, with_gh

pytestmark = pytest.mark.lab

DEAD = "dead"

BROKEN = """
import pulumi
import pulumi_kubernetes as kubernetes

config = pulumi.Config("kube-registry")
cluster = kubernetes.Provider("broken", kubeconfig=config.require("kubeconfig"), context=config.require("kubeContext"))
opts = pulumi.ResourceOptions(provider=cluster)
labels = {"app": "broken"}
kubernetes.apps.v1.Deployment(
    "broken-workload",
    metadata={"namespace": "default"},
    spec={
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "initContainers": [{"name": "first", "image": "quay.io/somebody/tool:1.2"}],
                "containers": [
                    {"name": "web", "image": "nginx:latest", "securityContext": {"privileged": True}},
                ],
            },
        },
    },
    opts=opts,
)
kubernetes.core.v1.Service(
    "broken-service",
    metadata={"namespace": "kube-registry"},
    spec={"type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 5000, "nodePort": 29999}]},
    opts=opts,
)
"""


@dataclass(frozen=True)
class Review:
    """The deployed program in a git checkout, in the hands of a reviewer."""

    lab: Lab
    program: Program
    log: Path

    @property
    def env(self) -> dict[str, str]:
        return {**self.lab.env, "PULUMI_BACKEND_URL": f"file://{self.program.folder / 'state'}"}

    @contextmanager
    def as_administrator(self) -> Iterator[None]:
        file = self.program.folder / "kubeconfig.json"
        of_the_reviewer = file.read_text()
        shutil.copy(self.lab.cluster.kubeconfig, file)
        yield
        file.write_text(of_the_reviewer)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "registryctl", "review", "--base", "main", *words]
        return subprocess.run(
            command, cwd=self.program.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )

    def audited(self, since: int) -> list[dict[str, object]]:
        """What the API server's audit log has of the reviewer."""
        logged = self.log.read_bytes()[since:].decode().splitlines()
        events = [json.loads(line) for line in logged if line.startswith('{"kind":"Event"')]
        return [event for event in events if event["user"]["username"] == REVIEWER]

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *who, *words], cwd=self.program.folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def reviewing(lab: Lab, program: Program) -> Iterator[Review]:
    log = control_plane.machine_of(known(lab.cluster.name)).log(control_plane.API_SERVER)
    access = Access(lab, log, 0)
    review = Review(lab, program, log)
    file = program.folder / "kubeconfig.json"
    shutil.copy(lab.cluster.kubeconfig, file)
    program.configure(kubeconfig=str(file))
    program.up()
    access.admin("apply", "--filename", "-", given=manifest(REVIEWER))
    (program.folder / ".gitignore").write_text("state/\n.kube-registry/\n__pycache__/\n")
    review.git("init", "--initial-branch=main")
    review.git("add", ".")
    review.git("commit", "--message", "deployed")
    review.git("checkout", "-b", "change")
    shutil.copy(access.kubeconfig(REVIEWER), file)
    yield review
    shutil.copy(CHECKOUT / "__main__.py", program.folder / "__main__.py")
    shutil.copy(lab.cluster.kubeconfig, file)


def test_a_cluster_that_does_not_answer_is_named_and_spoils_no_other(reviewing: Review) -> None:
    folder = reviewing.program.folder
    dead = json.loads((folder / "kubeconfig.json").read_text())
    for cluster in dead["clusters"]:
        cluster["cluster"]["server"] = "https://127.0.0.1:1"
    (folder / "dead.json").write_text(json.dumps(dead))
    made = new_program(reviewing.lab, folder, folder, stack=DEAD)
    made.configure(
        kubeContext=reviewing.lab.cluster.kube_context, kubeconfig=str(folder / "dead.json"), images_app_context="./app"
    )
    done = reviewing.run("--stack", STACK, "--stack", DEAD, "--markdown")
    assert done.returncode == 1
    assert f"❌ `{DEAD}`" in done.stdout
    assert re.search(rf"### ✅ `{STACK}` .*\n\nNo changes\.", done.stdout)
    assert "Its cluster is unreachable, so it was not previewed" in done.stdout
    assert "https://127.0.0.1:1" in done.stdout


def test_it_shows_what_an_edit_changes_and_writes_nothing(reviewing: Review) -> None:
    (reviewing.program.folder / "app" / "site" / "version").write_text("2\n")
    (reviewing.program.folder / "app" / "site" / "new.html").write_text("new\n")
    since = reviewing.log.stat().st_size
    stored = reviewing.lab.fetch("http://127.0.0.1:30100/v2/app/tags/list")
    before = reviewing.program.output("image")
    with reviewing.program.changed({"claim.size": "11Gi"}):
        done = reviewing.run("--stack", STACK, "--markdown")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{MARK}\n")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| `app` |")]
    _, _, was, will_be, files, _ = row.split("|")
    assert was.strip() == f"`{before}`"
    assert will_be.strip().startswith("`localhost:30100/app:")
    assert will_be.strip("` ") != before.partition("@")[0]
    assert "`site/new.html`, `site/version` since" in files
    assert "- change `Image app" in done.stdout
    assert "- change `PersistentVolumeClaim registry-claim (spec.resources.requests.storage)`" in done.stdout
    assert reviewing.lab.fetch("http://127.0.0.1:30100/v2/app/tags/list") == stored
    events = reviewing.audited(since)
    assert events  # the dry runs, which a reviewer is refused
    assert [event for event in events if "dryRun=All" not in str(event["requestURI"])] == []


def test_the_audit_log_does_show_who_writes(reviewing: Review) -> None:
    """Else an empty one would prove nothing."""
    since = reviewing.log.stat().st_size
    kubeconfig = reviewing.program.folder / "kubeconfig.json"
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "create", "configmap", "made", "--namespace", "default"]
    subprocess.run(command, env=dict(reviewing.lab.env), capture_output=True, timeout=30, check=False)
    assert [(event["verb"], event["responseStatus"]["code"]) for event in reviewing.audited(since)] == [("create", 403)]  # type: ignore[index]


def test_the_workflows_steps_review_the_fleet_and_roll_it_out(reviewing: Review, tmp_path: Path) -> None:
    folder, lab = reviewing.program.folder, reviewing.lab
    member = {"name": STACK, "kubeContext": lab.cluster.kube_context, "kubeconfig": str(folder / "kubeconfig.json")}
    fleet = {"stacks": [{**member, "images": {"app": {"context": "./app"}}}]}
    (folder / "fleet.yaml").write_text(json.dumps(fleet))
    shutil.copytree(CHECKOUT / ".github", folder / ".github")
    reviewing.git("update-ref", "refs/remotes/origin/main", "main")
    env = with_gh(tmp_path, reviewing.env)
    for step in ("Preview", "Comment"):
        done = run_step("preview", step, folder, env)
        assert done.returncode == 0, done.stdout + done.stderr
    (comment,) = comments(tmp_path)
    assert f"✅ `{STACK}`" in comment["body"]
    assert "`site/new.html`, `site/version` since" in comment["body"]
    with reviewing.as_administrator():
        done = run_step("rollout", "Roll out", folder, env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_step("preview", "Preview", folder, env).returncode == 0
    assert run_step("preview", "Comment", folder, env).returncode == 0
    (comment,) = comments(tmp_path)
    assert "No changes." in comment["body"]


def test_each_policy_that_is_broken_fails_it_with_reason_and_resource(reviewing: Review) -> None:
    folder = reviewing.program.folder
    (folder / "broken.py").write_text(BROKEN)
    text = (folder / "__main__.py").read_text()
    (folder / "__main__.py").write_text(text.replace("    main()\n", "    main()\n    import broken\n"))
    done = reviewing.run("--stack", STACK, "--markdown")
    assert done.returncode == 1
    rows = [line.split("|")[1:4] for line in done.stdout.splitlines() if line.startswith("| `")]
    found = {rule.strip(" `"): (resource.strip(" `"), why) for rule, resource, why in rows}
    found.pop("app", None)  # the table of images
    assert found.keys() == RULES.keys()
    assert {resource for resource, _ in found.values()} == {"Deployment broken-workload", "Service broken-service"}
    assert "nginx:latest" in found["no-latest"][1]
    assert "quay.io/somebody/tool:1.2" in found["pull-reference"][1]
    assert "29999" in found["node-port"][1]
    assert "5000" in found["write-door"][1]
    assert "container web is privileged" in found["privileged"][1]
