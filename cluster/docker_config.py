"""What Docker's own configuration says of this machine: which daemon is meant, and which credential helpers work.

Source: docker/cli, cli/config (config.json), cli/context/store (meta.json below the SHA-256 of a context's name),
cli/config/credentials (the program docker-credential-NAME, asked `list` before every build).
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stack.errors import DaemonError

USUAL_HOSTS = ("unix:///var/run/docker.sock", f"unix://{Path.home()}/.docker/run/docker.sock")
"""Where a daemon listens that nothing names."""

HELPER_SECONDS = 5.0
"""How long a credential helper may take to list what it keeps."""


def chosen_daemon(environment: Mapping[str, str]) -> str | None:
    """Address of the daemon that DOCKER_HOST or the current docker context names; None for Docker's usual sockets.

    Args:
        environment: the process's environment.

    Raises:
        DaemonError: there is no such docker context.
    """
    if host := environment.get("DOCKER_HOST"):
        return host
    name = environment.get("DOCKER_CONTEXT") or _config(environment).get("currentContext") or "default"
    if name == "default":
        return None
    key = hashlib.sha256(str(name).encode()).hexdigest()
    try:
        meta = json.loads((_folder(environment) / "contexts" / "meta" / key / "meta.json").read_text())
        return str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = "there is no such docker context, `docker context ls` lists them"
        raise DaemonError(host=f"docker context {name!r}", reason=reason) from error


def usual_daemon() -> str:
    """Address of the daemon where nothing names one: the first of Docker's usual sockets that is there."""
    return next((host for host in USUAL_HOSTS if Path(urlsplit(host).path).exists()), USUAL_HOSTS[0])


def broken_helpers(environment: Mapping[str, str]) -> list[str]:
    """Credential helpers that Docker is configured to ask and that do not answer; a build would fail for each.

    Args:
        environment: the process's environment.
    """
    config = _config(environment)
    helpers = config.get("credHelpers")
    names = [config.get("credsStore"), *(helpers.values() if isinstance(helpers, dict) else ())]
    programs = sorted({f"docker-credential-{name}" for name in names if name})
    return [program for program in programs if not _works(program)]


def _works(helper: str) -> bool:
    try:
        answer = subprocess.run([helper, "list"], capture_output=True, timeout=HELPER_SECONDS, check=True)
        json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return True


def _config(environment: Mapping[str, str]) -> dict[str, Any]:
    """Docker's configuration; nothing where there is none that can be read."""
    try:
        return dict(json.loads((_folder(environment) / "config.json").read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _folder(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
