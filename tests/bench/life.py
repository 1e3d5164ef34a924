"""One life of the lab, from nothing to an edited file that runs in its pods: one sample of every row.

kube-registry and the baseline go through the same steps, except that the baseline edits without Pulumi. Every sample
checks that the step it measured has happened.
"""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import cluster, docker_engine
from lab.commands import run_logged
from lab.errors import LabError
from lab.places import STATE
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT, environment
from lab.spec import ClusterSpec
from tests.bench import table
from tests.bench.places import CLUSTER, SITE, STACK, in_backend

LOG = STATE / "logs" / "bench.log"
"""What every command of the bench had to say."""

COMMAND_SECONDS = 180.0
"""How long one command may take."""

QUIET = Progress(Console(quiet=True))


@dataclass(frozen=True)
class Life:
    """A project that is lived through.

    Attributes:
        name: the Pulumi project's name.
        project: the folder of its program.
        backend: the folder of Pulumi's state, which lasts as long as the life.
        edits: measures how an edited file comes into the pods of the lab that runs.
    """

    name: str
    project: Path
    backend: Path
    edits: Callable[["Lab"], table.Times]

    def sample(self) -> table.Times:
        """The seconds of every row, once.

        Raises:
            LabError: a command failed, or did something else than it was measured for.
        """
        begin(self)
        phases = self.backend / "phases.json"
        demo = ("tests.bench.demo", self.project, self.backend, phases)
        from_nothing = seconds(lambda: expect({"created"}, run_module(*demo)))
        first_up = json.loads(phases.read_text())["pulumi up"]
        again = seconds(lambda: expect({"unchanged"}, run_module(*demo)))
        lab = Lab.running(self)
        no_change = seconds(lambda: lab.up(self.project, {"unchanged"}))
        preview = seconds(lambda: lab.pulumi(self.project, {"unchanged"}, "preview"))
        return {
            table.FROM_NOTHING: from_nothing,
            table.FIRST_UP: first_up,
            table.AGAIN: again,
            table.NO_CHANGE: no_change,
            table.PREVIEW: preview,
            **self.edits(lab),
            table.IMPORT: float(run_module("tests.bench.imports", self.project / "__main__.py")),
        }

    def write(self, version: str) -> None:
        """Edit the one file that says which version of the app it is."""
        (self.project / "app" / "site" / "version").write_text(f"{version}\n")


@dataclass(frozen=True)
class Lab:
    """The lab as it runs in one life.

    Attributes:
        life: whose it is.
        spec: its cluster.
        docker_host: the address of its Docker engine.
        env: the environment in which `pulumi` works with it.
    """

    life: Life
    spec: ClusterSpec
    docker_host: str
    env: Mapping[str, str]

    @classmethod
    def running(cls, life: Life) -> "Lab":
        """The lab that the demo has left running."""
        spec, engine = cluster.known(CLUSTER), docker_engine.up(QUIET, SITE)
        env = environment(kubeconfig=spec.kubeconfig, docker_host=engine.host)
        return cls(life, spec, engine.host, in_backend(env, life.backend))

    def up(self, project: Path, changes: set[str]) -> None:
        """`pulumi up`, which has to make these kinds of changes and no others."""
        self.pulumi(project, changes, "up", "--yes", "--skip-preview")

    def pulumi(self, project: Path, changes: set[str], *words: str) -> None:
        """Any command of Pulumi that sums up the changes it makes."""
        command = ["pulumi", *words, "--stack", STACK, "--non-interactive"]
        expect(changes, run_logged(command, log=LOG, limit=COMMAND_SECONDS, cwd=project, env=self.env))


def begin(life: Life) -> None:
    """Leave nothing of the life before but what is cached between two of a person's."""
    end()
    shutil.rmtree(life.backend, ignore_errors=True)
    life.backend.mkdir()
    life.write("new")


def end() -> None:
    """Take down the bench's cluster and Docker engine."""
    cluster.down(CLUSTER)
    docker_engine.down(QUIET, SITE)


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start


def run_module(name: str, *arguments: str | Path) -> str:
    """Run a module of the bench in a Python of its own, and return its standard output."""
    command = [sys.executable, "-m", name, *map(str, arguments)]
    return run_logged(command, log=LOG, limit=COMMAND_SECONDS, cwd=CHECKOUT)


def expect(changes: set[str], output: str) -> None:
    """Make sure of the kinds of changes that Pulumi sums up, as in "    + 11 created".

    Raises:
        LabError: there are others, or none.
    """
    found = set(re.findall(r"^    (?:\S+ )?\d+ ([a-z ]+)$", output, re.MULTILINE))
    if found != changes:
        raise LabError(f"A sample was to have resources {changes}, and has {found or 'none'}; its log is {LOG}.")
