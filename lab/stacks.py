"""The two Pulumi stacks of the demo, deployed and destroyed with the `pulumi` command."""

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
"""The name of both stacks of the lab. Their config is in Pulumi.dev.yaml of each project, which is committed."""

QUICK_SECONDS = 60.0
"""The time limit of commands that only read or write Pulumi's state."""


@dataclass(frozen=True)
class DemoStack:
    """A stack of one Pulumi project.

    Args:
        project: the folder with its Pulumi.yaml.
        name: its name.
        env: the environment, which selects the backend, plugins, cluster and Docker engine.
        shell: the command that opens a shell with this environment.
    """

    project: Path
    name: str
    env: Mapping[str, str]
    shell: str = "make shell"

    def init(self) -> None:
        """Create the stack unless it exists."""
        self._quick("stack", "select", "--create")

    def configure(self, config: Mapping[str, str]) -> None:
        """Set config values; the keys are property paths."""
        pairs = [f"--plaintext={key}={value}" for key, value in config.items()]
        self._quick("config", "set-all", "--path", *pairs)

    def run(self, verb: str, *options: str) -> None:
        """Run `pulumi VERB` with its output on the terminal.

        Raises:
            LabError: it failed; its output contains the reason.
        """
        watched = sys.stdout.isatty()
        display = [] if watched else ["--non-interactive", "--suppress-progress"]
        command = ["pulumi", verb, "--stack", self.name, "--suppress-permalink=true", *display, *options]
        stdin = None if watched else subprocess.DEVNULL
        ended = subprocess.run(command, cwd=self.project, env=self.env, stdin=stdin, check=False)
        if ended.returncode != 0:
            raise LabError(
                f"pulumi {verb} in {self.project} failed with status {ended.returncode}; see its output above. "
                f"Fix: `{self.shell}` opens a shell for the commands in that output"
            )

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of the stack."""
        found: dict[str, Any] = json.loads(self._quick("stack", "output", "--json"))
        return found

    def remove(self) -> None:
        """Remove the destroyed stack and its config."""
        self._quick("stack", "rm", "--yes")

    def _quick(self, *words: str) -> str:
        log = CACHE / "logs" / f"pulumi-{self.project.name}.log"
        command = ["pulumi", *words, "--stack", self.name, "--non-interactive"]
        return run_logged(command, log=log, limit=QUICK_SECONDS, cwd=self.project, env=self.env)


def registry_stack(name: str, env: Mapping[str, str], shell: str = "make shell") -> DemoStack:
    """Return the stack of the program."""
    return DemoStack(CHECKOUT, name, env, shell)


def downstream_stack(name: str, env: Mapping[str, str], shell: str = "make shell") -> DemoStack:
    """Return the stack of the workload, which reads the image's reference from the program's stack of the same name."""
    return DemoStack(CHECKOUT / "examples" / "downstream", name, env, shell)
