"""The two Pulumi stacks of the demo, deployed and destroyed by the `pulumi` command as a person would do it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.commands import run_logged
from lab.errors import LabError
from lab.places import CACHE

CHECKOUT = Path(__file__).resolve().parent.parent
LAB_STACK = "dev"
"""Both stacks of the lab are called that; Pulumi.dev.yaml of each project, which is committed, holds its config."""

QUICK_SECONDS = 60.0
"""For commands that only read or write Pulumi's state."""


@dataclass(frozen=True)
class DemoStack:
    """A stack of one Pulumi project.

    Args:
        project: folder with its Pulumi.yaml.
        name: what it is called.
        env: environment that selects backend, plugins, cluster and Docker engine.
        shell: command that opens a shell with this environment.
    """

    project: Path
    name: str
    env: Mapping[str, str]
    shell: str = "make shell"

    def init(self) -> None:
        """Make the stack unless it exists."""
        self._quick("stack", "select", "--create")

    def configure(self, config: Mapping[str, str]) -> None:
        """Set config keys, which are paths."""
        pairs = [f"--plaintext={key}={value}" for key, value in config.items()]
        self._quick("config", "set-all", "--path", *pairs)

    def run(self, verb: str, *options: str) -> None:
        """Run `pulumi VERB`, its output straight to the terminal, live where there is one.

        Raises:
            LabError: it failed; what went wrong stands above.
        """
        watched = sys.stdout.isatty()
        display = [] if watched else ["--non-interactive", "--suppress-progress"]
        command = ["pulumi", verb, "--stack", self.name, "--suppress-permalink=true", *display, *options]
        stdin = None if watched else subprocess.DEVNULL
        ended = subprocess.run(command, cwd=self.project, env=self.env, stdin=stdin, check=False)
        if ended.returncode != 0:
            raise LabError(
                f"pulumi {verb} in {self.project} failed with status {ended.returncode}; it says why above. "
                f"`{self.shell}` opens a shell for the commands that it names"
            )

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        found: dict[str, Any] = json.loads(self._quick("stack", "output", "--json"))
        return found

    def remove(self) -> None:
        """Forget the stack and its config, once it is destroyed."""
        self._quick("stack", "rm", "--yes")

    def _quick(self, *words: str) -> str:
        log = CACHE / "logs" / f"pulumi-{self.project.name}.log"
        command = ["pulumi", *words, "--stack", self.name, "--non-interactive"]
        return run_logged(command, log=log, limit=QUICK_SECONDS, cwd=self.project, env=self.env)


def registry_stack(name: str, env: Mapping[str, str], shell: str = "make shell") -> DemoStack:
    """The program itself."""
    return DemoStack(CHECKOUT, name, env, shell)


def downstream_stack(name: str, env: Mapping[str, str], shell: str = "make shell") -> DemoStack:
    """The workload that takes the image's reference from the program's stack of the same name."""
    return DemoStack(CHECKOUT / "examples" / "downstream", name, env, shell)
