"""The commands that an error prints, run as a person pastes them into a shell."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND = re.compile(r"`((?:docker|export|kubectl|printf|pulumi|python|\.venv/bin/python|registryctl) [^`]+)`")


def commands_of(error: object, part: str = "") -> list[str]:
    """The commands in the text of an error, each once; only those that have a part, if one is given."""
    return [line for line in dict.fromkeys(COMMAND.findall(str(error))) if part in line]


def paste(line: str, folder: Path, env: Mapping[str, str]) -> str:
    """What a command line prints, which has to succeed; all that Pulumi asks is answered with yes."""
    done = tried(line, folder, env)
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def tried(
    line: str, folder: Path, env: Mapping[str, str], given: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """A command line that may fail; `given` is its standard input."""
    venv = folder / ".venv"
    if not os.path.lexists(venv):  # pulumi makes it in a program's folder
        venv.symlink_to(sys.prefix)
    surroundings = {**env, "PULUMI_SKIP_CONFIRMATIONS": "true"}
    command = ["sh", "-c", line]
    return subprocess.run(
        command, cwd=folder, env=surroundings, input=given, capture_output=True, text=True, timeout=200, check=False
    )
