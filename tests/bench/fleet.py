"""The table of a rollout: six clusters at once, beside a bare `pulumi up` for each of them.

Both run the same stacks of the same program on the same Docker engine and take turns. The rollout sends its pilot
ahead, examines every stack at its end and looks first at what can be left alone; the bare runs do none of that, and go
side by side in the number that was fastest.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lab import cluster, docker_engine
from lab.errors import LabError
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT, environment
from tests.bench import table
from tests.bench.life import LOG, QUIET, seconds
from tests.bench.memory import watched
from tests.bench.places import SITE, copy_ours, in_backend

CLUSTERS = tuple(f"bench-{number}" for number in range(1, 7))
AT_ONCE = (3, 4, 6)
"""How many bare runs go side by side, until it is known which is fastest."""

RUN_SECONDS = 600.0
NEW, EDITED, UNCHANGED = "new stacks", "one file edited", "nothing changed"


@dataclass(frozen=True)
class Sample:
    """One run over all clusters: how long it took, and the most memory that its processes had, in MB."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Fleet:
    """The stacks, and the ways to run all of them.

    Args:
        project: folder of the program.
        env: in which `pulumi` works with the lab.
        samples: what was done, and by which way -> its samples.
        running: pids of the programs that run at the moment.
    """

    project: Path
    env: Mapping[str, str]
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)

    def rollout(self, *words: str) -> None:
        """`registryctl fleet`."""
        command = [sys.executable, "-m", "registryctl", "fleet", *words]
        self._run(command)

    def bare(self, at_once: int) -> None:
        """`pulumi up` of every stack, so many at a time."""
        ups = [["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", name] for name in CLUSTERS]
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(self._run, ups))

    def take(self, what: str, way: str, work: Callable[[], None]) -> None:
        """Take a sample."""
        with watched(lambda: list(self.running)) as memory:
            took = seconds(work)
        self.samples.setdefault((what, way), []).append(Sample(took, max(memory) / 1e6))

    def edit(self, text: str) -> None:
        """Write the one file that says which version of the app it is."""
        (self.project / "app" / "site" / "version").write_text(f"{text}\n")

    def _run(self, command: Sequence[str]) -> None:
        with (
            LOG.open("ab") as log,
            subprocess.Popen(
                command, cwd=self.project, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ) as program,
        ):
            self.running.add(program.pid)
            try:
                status = program.wait(RUN_SECONDS)
            finally:
                self.running.discard(program.pid)
        if status != 0:
            raise LabError(f"`{' '.join(command)}` failed with exit status {status}; its log is {LOG}.")


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """The lines of the table; the first is its head."""
    with tempfile.TemporaryDirectory(prefix="kube-registry-bench-") as folder:
        try:
            fleet = _start(Path(folder), progress)
            best = _fastest(fleet, progress)
            steps = progress.steps(repetitions)
            for number in range(repetitions):
                with steps.step("six clusters", "measuring"):
                    _both(fleet, best, number)
            return _lines(fleet, best)
        finally:
            for name in CLUSTERS:
                cluster.down(name)
            docker_engine.down(QUIET, SITE)


def _start(folder: Path, progress: Progress) -> Fleet:
    engine = docker_engine.up(progress, SITE)
    running = [cluster.up(name, nodes=1, report=progress) for name in CLUSTERS]
    project, backend = copy_ours(folder / "ours"), folder / "state"
    backend.mkdir()
    stacks = [
        {"name": each.name, "kubeContext": each.kube_context, "kubeconfig": str(each.kubeconfig)} for each in running
    ]
    fleet = {"defaults": {"images": {"app": {"context": "./app"}}}, "stacks": stacks}
    (project / "fleet.yaml").write_text(yaml.safe_dump(fleet))
    env = in_backend(environment(kubeconfig=running[0].kubeconfig, docker_host=engine.host), backend)
    return Fleet(project, {**env, "PYTHONPATH": str(CHECKOUT)})


def _fastest(fleet: Fleet, progress: Progress) -> int:
    """How many bare runs at a time are fastest; the stacks and their config are made by a first rollout."""
    with progress.running("six clusters", "a first rollout"):
        fleet.edit("first")
        fleet.rollout("up")
    took = {}
    for at_once in AT_ONCE:
        fleet.edit(f"{at_once} at once")
        took[at_once] = seconds(lambda: fleet.bare(at_once))  # noqa: B023 - called at once
        progress.say(f"bare, {at_once} at a time: {took[at_once]:.1f} s")
    fleet.rollout("destroy", "--yes")
    return min(took, key=lambda at_once: took[at_once])


def _both(fleet: Fleet, at_once: int, number: int) -> None:
    for way, up in (("rollout", lambda: fleet.rollout("up")), ("bare", lambda: fleet.bare(at_once))):
        fleet.edit(f"{way} new {number}")
        fleet.take(NEW, way, up)
        fleet.take(UNCHANGED, way, up)
        fleet.edit(f"{way} edited {number}")
        fleet.take(EDITED, way, up)
        fleet.rollout("destroy", "--yes")


def _lines(fleet: Fleet, at_once: int) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = [
        (
            f"{len(CLUSTERS)} clusters",
            "fleet up, s",
            f"plain, {at_once} at a time, s",
            "ratio",
            "fleet up, MB",
            "plain, MB",
        )
    ]
    for what in (NEW, EDITED, UNCHANGED):
        ours, bare = (fleet.samples[what, way] for way in ("rollout", "bare"))
        times = [[sample.seconds for sample in samples] for samples in (ours, bare)]
        ratio = statistics.median(times[0]) / statistics.median(times[1])
        memory = [f"{max(sample.memory for sample in samples):.0f}" for samples in (ours, bare)]
        lines.append((what, *map(table.spread, times), f"{ratio:.2f}", *memory))
    return lines
