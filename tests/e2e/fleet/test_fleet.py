"""`registryctl fleet` on a real cluster: two stacks side by side in it, and one of a cluster that is dead."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_registry.engine.pulumi_process import GRACE_SECONDS
from kube_registry.fleet.one_stack import RELEASE_SECONDS
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.phases import PHASES, Phase
from tests.e2e.commands import commands_of, paste
from tests.e2e.conftest import Lab

pytestmark = pytest.mark.lab

DEAD = {
    "contexts": [{"name": "dead", "context": {"cluster": "dead", "user": "dead"}}],
    "clusters": [{"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "dead", "user": {"token": "none"}}],
}
SLOW = "FROM busybox:stable\nRUN sleep 200\n"


@dataclass(frozen=True)
class Rollouts:
    """The program's folder with its fleet.yaml, and what registryctl says there."""

    folder: Path
    env: dict[str, str]

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "registryctl", "fleet", *words]
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=-1, stderr=-1, text=True)

    def run(self, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Exit status and events; no run is cold."""
        with self.begin(*words, "--json") as running:
            out, printed = running.communicate(timeout=120)
        assert "cold run" not in printed
        return running.returncode, [json.loads(line) for line in out.splitlines()]

    def status(self, stacks: str) -> tuple[int, str]:
        """Exit status and the page of `fleet status`."""
        with self.begin("status", "--stacks", stacks) as looking:
            said, _ = looking.communicate(timeout=60)
        return looking.returncode, said

    def images(self, stack: str) -> dict[str, str]:
        command = ["pulumi", "stack", "output", "--json", "--stack", stack]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout)["images"])

    def is_unlocked(self) -> bool:
        return not list((self.folder / "state" / ".pulumi" / "locks").rglob("*.json"))


def ends(events: list[dict[str, Any]]) -> dict[str, str]:
    """The last that each stack has said."""
    return {event["stack"]: event["text"] for event in events}


@pytest.fixture(scope="module")
def rollouts(lab: Lab, checkout: Path) -> Iterator[Rollouts]:
    (checkout / "dead.json").write_text(json.dumps(DEAD))
    (checkout / "slow").mkdir()
    (checkout / "slow" / "Dockerfile").write_text(SLOW)
    stacks: list[dict[str, object]] = [
        {"name": "one", "namespace": "one", "nodePort": 30111},
        {"name": "two", "namespace": "two", "nodePort": 30112},
        {"name": "dead", "kubeContext": "dead", "kubeconfig": "dead.json"},
        {"name": "slow", "namespace": "slow", "nodePort": 30113, "images": {"slow": {"context": "./slow"}}},
    ]
    defaults = {"kubeContext": lab.cluster.kube_context, "images": {"app": {"context": "./app"}}}
    (checkout / "fleet.yaml").write_text(yaml.safe_dump({"defaults": defaults, "stacks": stacks}))
    (checkout / "state").mkdir()
    (checkout / ".venv").symlink_to(sys.prefix)
    made = Rollouts(checkout, {**lab.env, "PULUMI_BACKEND_URL": f"file://{checkout / 'state'}"})
    yield made
    made.run("destroy", "--yes")


class TestUp:
    """One rollout after the other over the same stacks."""

    def test_the_pilot_goes_first_and_a_dead_cluster_spoils_no_other(self, rollouts: Rollouts) -> None:
        status, events = rollouts.run("up", "--stacks", "[otd]*", "--max-failures", "1", "--report", "report.html")
        said = ends(events)
        assert status == 1
        assert (said["one"], said["two"]) == ("succeeded", "succeeded")
        assert "(kube context 'dead') is not responding" in said["dead"]
        assert [event["result"] for event in events if event["stack"] == "one"][-2:] == [None, "succeeded"]
        assert {event["phase"] for event in events if event["stack"] == "one"} >= set(PHASES[1:])
        begun = [event["stack"] for event in events if event["text"] == "pulumi up"]
        updated = next(event["at"] for event in events if event["phase"] == Phase.HEALTH)
        assert begun[0] == "one"
        assert all(event["at"] >= updated for event in events if event["stack"] != "one")
        assert "dead" in (rollouts.folder / "report.html").read_text()
        assert rollouts.is_unlocked()

    def test_every_cluster_has_the_same_digest(self, rollouts: Rollouts) -> None:
        digests = {parse_reference(rollouts.images(stack)["app"]).digest for stack in ("one", "two")}
        assert len(digests) == 1

    def test_what_is_right_is_left_alone_until_it_is_not(self, rollouts: Rollouts, lab: Lab) -> None:
        assert ends(rollouts.run("up", "--stacks", "[ot]*")[1]) == {"one": "left alone", "two": "left alone"}
        lab.kubectl("delete", "deployment", "registry", "--namespace", "two")
        status, events = rollouts.run("up", "--stacks", "[ot]*")
        assert (status, ends(events)) == (0, {"one": "left alone", "two": "succeeded"})

    def test_a_service_and_a_proof_that_are_gone_are_not_well_and_come_back(self, rollouts: Rollouts, lab: Lab) -> None:
        here, away = (node.name for node in lab.cluster.nodes)
        lab.kubectl("delete", "service", "registry", "--namespace", "two")
        lab.kubectl("delete", "configmap", "preflight", "--namespace", "two")
        lab.kubectl("cordon", away)
        try:
            status, said = rollouts.status("two")
            assert status == 1
            assert "no Service registry has node port" in said
            assert f"node {here} has no recorded pull with" in said
            assert f"node {away} has not pulled yet and cannot be checked now: it is cordoned" in said
            assert rollouts.run("up", "--stacks", "two")[0] == 0
            status, said = rollouts.status("two")
            assert status == 0
            assert f"node {away} has not pulled yet and cannot be checked now: it is cordoned" in said
        finally:
            lab.kubectl("uncordon", away)

    def test_a_node_without_a_proof_is_asked_by_an_update_that_changes_nothing(self, rollouts: Rollouts) -> None:
        status, events = rollouts.run("up", "--stacks", "two")
        assert (status, ends(events)) == (0, {"two": "unchanged"})
        assert ends(rollouts.run("up", "--stacks", "two")[1]) == {"two": "left alone"}

    def test_pulumi_by_hand_finds_nothing_to_change(self, rollouts: Rollouts) -> None:
        command = ["pulumi", "preview", "--stack", "two", "--expect-no-changes", "--non-interactive"]
        subprocess.run(command, cwd=rollouts.folder, env=rollouts.env, capture_output=True, check=True)


class TestErrors:
    """A program that fails."""

    def test_the_error_of_a_program_is_that_of_its_stack_and_its_correction_is_run(self, rollouts: Rollouts) -> None:
        main = rollouts.folder / "__main__.py"
        text = main.read_text()
        main.write_text(f"{text}\nraise ValueError('not good')\n")
        status, events = rollouts.run("up", "--stacks", "[ot]*")
        assert status == 1
        assert "ValueError: not good" in ends(events)["one"]
        assert [event["result"] for event in events if event["stack"] == "two"] == []
        main.write_text(f"{text}\n")
        status, events = rollouts.run("up", "--stacks", "[ot]*")
        assert (status, ends(events)) == (0, {"one": "unchanged", "two": "unchanged"})


class TestEnd:
    """A build that takes longer than anybody waits."""

    def test_a_deadline_ends_that_stack_alone_and_leaves_no_lock(self, rollouts: Rollouts) -> None:
        (rollouts.folder / "app" / "site" / "version").write_text("while another stack builds\n")
        status, events = rollouts.run("up", "--stacks", "[ots]*", "--deadline", "45")
        assert status == 1
        last = ends(events)
        assert last["slow"].startswith("cancelled: `up` of stack slow was cancelled after 45 s, its deadline")
        assert (last["one"], last["two"]) == ("succeeded", "succeeded")
        assert rollouts.is_unlocked()
        (rollouts.folder / "cancelled.txt").write_text(last["slow"])

    def test_ctrl_c_ends_it_in_the_time_that_is_stated_and_leaves_no_lock(self, rollouts: Rollouts) -> None:
        with rollouts.begin("up", "--stacks", "slow", "--json") as running:
            assert running.stdout
            assert any('"phase": "build"' in line for line in running.stdout)
            running.send_signal(signal.SIGINT)
            told = time.monotonic()
            _, table = running.communicate(timeout=120)
        assert time.monotonic() - told < GRACE_SECONDS + RELEASE_SECONDS
        assert running.returncode == 1
        assert "cancelled" in table
        assert rollouts.is_unlocked()

    def test_the_command_goes_on_where_the_run_ended(self, rollouts: Rollouts) -> None:
        (line,) = commands_of((rollouts.folder / "cancelled.txt").read_text())
        (rollouts.folder / "slow" / "Dockerfile").write_text("FROM busybox:stable\n")
        paste(line, rollouts.folder, rollouts.env)
        assert rollouts.images("slow").keys() == {"slow", "app"}
