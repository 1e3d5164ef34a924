"""Open a shell in which the tools use a cluster, or print the exports that set up the current shell.

The new shell reads the user's startup files first, because a file that sets PATH or KUBECONFIG would otherwise override
the lab's variables.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from lab import cluster, docker_engine
from lab.docker_site import SITES
from lab.errors import LabError
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT, variables

_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKE_TERMERR", "MAKE_TERMOUT", "MFLAGS")
"""Variables that `make` passes to its children; with them, another `make` in the shell would join the first one."""


def lab_variables(name: str, progress: Progress) -> dict[str, str]:
    """Return the variables with which tools use a cluster of the lab and its Docker engine.

    Raises:
        LabError: the cluster does not run.
    """
    for running in cluster.clusters():
        if running.name == name:
            engine = docker_engine.up(progress, SITES[running.versions.docker])
            return variables(kubeconfig=running.kubeconfig, docker_host=engine.host, versions=running.versions)
    fix = "make up" if name == "dev" else f"python3 -m lab up {name}"
    raise LabError(f"Cluster {name} of the lab does not run. Fix: `{fix}`")


def exports(chosen: Mapping[str, str]) -> list[str]:
    """Return the shell commands that set these variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in chosen.items()]


def open_shell(chosen: Mapping[str, str], label: str) -> None:
    """Run the shell that SHELL names in the checkout's folder until the user leaves it.

    Args:
        chosen: variables to set.
        label: prefix of its prompt; letters, digits, ".", "_" and "-" only, because prompts are expanded.

    Raises:
        LabError: SHELL does not name a program.
    """
    shell = os.environ.get("SHELL") or "/bin/sh"
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    with TemporaryDirectory(prefix="kube-registry-shell-") as folder:
        command, own = _start(shell, exports(chosen), f"({label}) ", Path(folder))
        try:
            subprocess.run(command, cwd=CHECKOUT, env={**inherited, **chosen, **own}, check=False)
        except OSError as error:
            raise LabError(f"SHELL is {shell}, which cannot be run: {error.strerror}. Fix: set SHELL") from None


def _start(shell: str, lines: Sequence[str], label: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a shell with these lines after its startup files, and the variables for that."""
    after = [*lines, f'PS1={shlex.quote(label)}"$PS1"', ""]
    match Path(shell).name:
        case "bash":
            startup = _write(folder / "bashrc", _unless_missing("~/.bashrc"), *after)
            return [shell, "--rcfile", str(startup)], {}
        case "zsh":
            # The user's .zshenv may set the folder of the other files.
            theirs = f"ZDOTDIR={shlex.quote(os.environ.get('ZDOTDIR') or str(Path.home()))}"
            ours = f"theirs=$ZDOTDIR ZDOTDIR={shlex.quote(str(folder))}"
            _write(folder / ".zshenv", theirs, _unless_missing('"$ZDOTDIR/.zshenv"'), ours, "")
            _write(folder / ".zshrc", "ZDOTDIR=$theirs", _unless_missing('"$ZDOTDIR/.zshrc"'), *after)
            return [shell], {"ZDOTDIR": str(folder)}
        case "fish":
            label_first = f"function fish_prompt; printf %s {shlex.quote(label)}; _prompt_without_label; end"
            prompt = ["functions --copy fish_prompt _prompt_without_label", label_first]
            return [shell, "--init-command", "\n".join([*lines, *prompt])], {}
        case _:  # POSIX: an interactive shell reads the file in ENV
            theirs = os.environ.get("ENV", "")
            startup = _write(folder / "env", *([_unless_missing(f'"{theirs}"')] if theirs else []), *after)
            return [shell], {"ENV": str(startup)}


def _unless_missing(file: str) -> str:
    return f"[ ! -f {file} ] || . {file}"


def _write(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(lines))
    return file
