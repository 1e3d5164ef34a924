"""The table of a saved file: how long until new pods run it on both nodes, in one program with registry and workload.

The program is examples/library on the wheel, as its users have it. The floor has no Pulumi: build, push through an open
port-forward, change the image of a DaemonSet that is otherwise the same.
"""

import shutil
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kube_registry.spec.endpoints import parse_reference
from lab import cluster, docker_engine, kube_api
from lab.commands import run_logged
from lab.errors import LabError
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT, environment
from lab.waiting import wait_for
from tests.bench import edits, table
from tests.bench.door import with_open_door
from tests.bench.life import COMMAND_SECONDS, LOG, Lab, Life, begin, end, seconds
from tests.bench.places import CLUSTER, PUSH_PORT, SITE, STACK, in_backend, output, settings
from tests.fakes.open_registry import answers
from tests.wheel import build_wheel, install_wheel

WORKLOAD, BY_HAND = "library", "by-hand"
"""The names of the DaemonSets of the program and of the floor."""

PODS_SECONDS = 60.0
OPEN_SECONDS = 30.0
"""How long the port-forward may take to open."""

HEAD = ("a file saved, until new pods run it on both nodes", "s", "times the floor")
DEV, COLD, FLOOR = "`registryctl dev`", "`pulumi up`", "build, push and change of the DaemonSet, without Pulumi"

_SETS = "/apis/apps/v1/namespaces/default/daemonsets"
_PODS = "/api/v1/namespaces/default/pods"
_NAME = "app.kubernetes.io/name"


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; the first is its head."""
    with started(progress) as lab:
        with progress.running(DEV, "measuring"):
            with_one_dev = with_dev(lab, [f"{DEV} {number}" for number in range(repetitions)])
        samples: dict[str, list[float]] = {DEV: with_one_dev, FLOOR: [], COLD: []}
        steps = progress.steps(repetitions)
        for number in range(repetitions):
            with steps.step("the others", "measuring"):
                for way, take in ((FLOOR, by_hand), (COLD, with_pulumi)):
                    samples[way].append(take(lab, f"{way} {number}"))
    floor = statistics.median(samples[FLOOR])
    return [
        HEAD,
        *((way, table.spread(taken), f"{statistics.median(taken) / floor:.2f}") for way, taken in samples.items()),
    ]


@contextmanager
def started(progress: Progress) -> Iterator[Lab]:
    """Deploy examples/library into a cluster of two nodes, and the floor's DaemonSet with the same image."""
    with tempfile.TemporaryDirectory(prefix="kube-registry-bench-") as name:
        folder = Path(name)
        with progress.running("examples/library", "installing the wheel"):
            virtualenv = install_wheel(build_wheel(folder), folder / "venv")
        life = Life(WORKLOAD, folder / "library", folder / "state", edits.of_ours)
        shutil.copytree(CHECKOUT / "examples" / "library", life.project)
        (life.project / ".venv").symlink_to(virtualenv)
        try:
            begin(life)
            engine, made = docker_engine.up(progress, SITE), cluster.up(CLUSTER, nodes=2, report=progress)
            env = in_backend(environment(kubeconfig=made.kubeconfig, docker_host=engine.host), life.backend)
            env["PATH"] = f"{virtualenv / 'bin'}:{env['PATH']}"
            lab = Lab(life, cluster.known(CLUSTER), engine.host, env)
            _deploy(lab, progress)
            yield lab
        finally:
            end()


def _deploy(lab: Lab, progress: Progress) -> None:
    project = lab.life.project
    for words in (
        ("stack", "init", "--no-select", STACK),
        ("config", "set", "clusterFile", str(lab.spec.kubeconfig), "--stack", STACK),
    ):
        run_logged(["pulumi", *words, "--non-interactive"], log=LOG, limit=COMMAND_SECONDS, cwd=project, env=lab.env)
    with progress.running("examples/library", "deploying"):
        lab.up(project, {"created"})
    made = kube_api.get(lab.spec, f"{_SETS}/{WORKLOAD}")
    if not made:
        raise LabError(f"The update has not created the DaemonSet {WORKLOAD}; the log is {LOG}.")
    kube_api.create(lab.spec, _SETS, _copy_of(made))
    for name in (WORKLOAD, BY_HAND):
        wait_for(lambda: digests(lab, name), f"pods of {name}", log=LOG, seconds=PODS_SECONDS)  # noqa: B023


def _copy_of(daemon_set: Mapping[str, Any]) -> dict[str, Any]:
    """Return the floor's DaemonSet."""
    labels, spec = {_NAME: BY_HAND}, daemon_set["spec"]
    template = {**spec["template"], "metadata": {"labels": labels}}
    return {
        "metadata": {"name": BY_HAND},
        "spec": {**spec, "selector": {"matchLabels": labels}, "template": template},
    }


def until_new_pods(lab: Lab, name: str, work: Callable[[], object]) -> float:
    """Return the seconds from the start of some work until every node has one ready pod, with a new image."""
    before = digests(lab, name)
    with kube_api.watching(lab.spec, _pods_of(name), seconds=PODS_SECONDS) as events:
        pods: dict[str, Mapping[str, Any]] = {}

        def work_and_wait() -> None:
            work()
            while digests_in(pods.values(), lab) in (set(), before):
                event = next(events)
                pod = event["object"]
                pods[pod["metadata"]["name"]] = pod if event["type"] != "DELETED" else {"status": {}}

        return seconds(work_and_wait)


def digests(lab: Lab, name: str) -> set[str]:
    """Return what the pods of a DaemonSet run; nothing unless each node has one, ready, and no other."""
    return digests_in((kube_api.get(lab.spec, _pods_of(name)) or {"items": []})["items"], lab)


def digests_in(pods: Iterable[Mapping[str, Any]], lab: Lab) -> set[str]:
    """Return what some pods run; nothing unless each node has one, ready, and no other."""
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    if [status["ready"] for status in statuses] != [True] * len(lab.spec.nodes):
        return set()
    return {status["imageID"].rpartition("@")[2] for status in statuses}


def _pods_of(name: str) -> str:
    return f"{_PODS}?labelSelector={_NAME}%3D{name}"


def with_dev(lab: Lab, texts: Sequence[str]) -> list[float]:
    """Return the seconds of some edits, one after the other, with `registryctl dev`, which has nothing else to do."""
    out = lab.life.backend / "dev.log"
    command = [str(lab.life.project / ".venv" / "bin" / "registryctl"), "dev", "--stack", STACK]
    taken: list[float] = []
    with (
        out.open("wb") as file,
        subprocess.Popen(
            command, cwd=lab.life.project, env=lab.env, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        ) as dev,
    ):
        try:
            wait_for(lambda: _has_reported(out, "start"), "registryctl dev to start", log=out, seconds=COMMAND_SECONDS)
            for text in texts:
                taken.append(until_new_pods(lab, WORKLOAD, partial(lab.life.write, text)))
                reported = partial(_has_reported, out, "version", len(taken))
                wait_for(reported, "the line of the edit", log=out, seconds=PODS_SECONDS)
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(COMMAND_SECONDS)
    return taken


def _has_reported(out: Path, cause: str, number: int = 1) -> bool:
    """Return whether `registryctl dev` has printed as many lines of updates that it has made for some reason."""
    lines = [line for line in out.read_text().splitlines() if f"{cause}: " in line]
    if failed := [line for line in lines if "failed after" in line]:
        raise LabError(f"An update of `registryctl dev` failed: {failed[0]}; the log is {out}.")
    return len(lines) >= number


def with_pulumi(lab: Lab, text: str) -> float:
    """Return the seconds with `pulumi up`, as people run it."""

    def save_and_update() -> None:
        lab.life.write(text)
        lab.up(lab.life.project, {"updated", "unchanged"})

    return until_new_pods(lab, WORKLOAD, save_and_update)


def by_hand(lab: Lab, text: str) -> float:
    """Return the seconds of the floor."""

    def save_build_push_patch() -> None:
        lab.life.write(text)
        pushed = edits.build(lab, f"localhost:{PUSH_PORT}/app:{BY_HAND}", push=True)
        pull_host = parse_reference(output(lab.life.backend, lab.life.name, "image")).host
        containers = [{"name": "web", "image": f"{pull_host}/{pushed.partition('/')[2]}"}]
        kube_api.patch(lab.spec, f"{_SETS}/{BY_HAND}", {"spec": {"template": {"spec": {"containers": containers}}}})

    def through_open_door() -> float:
        if not answers(PUSH_PORT, OPEN_SECONDS):
            raise LabError("The registry does not answer through the port-forward.")
        return until_new_pods(lab, BY_HAND, save_build_push_patch)

    return with_open_door(settings(), through_open_door)
