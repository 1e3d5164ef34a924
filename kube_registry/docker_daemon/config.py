"""Read Docker's own configuration: the address of the daemon, and whether the credential store works.

Docker's SDK 7.2 is not used here: it treats a broken config.json as empty, completes addresses in its own way
(docker.context), and waits for a credential store without a timeout (docker.credentials).

Source: docker/cli 28.5, cli/config (config.json), cli/context/store (meta.json below the SHA-256 of a context's name),
cli/config/credentials (the program docker-credential-NAME).
"""

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kube_registry.docker_daemon.address import USUAL_ADDRESS, daemon_address
from kube_registry.docker_daemon.errors import DaemonError, DaemonTlsError, DockerConfigError
from kube_registry.foreign_json import read_json

USUAL_HOSTS = (USUAL_ADDRESS, f"unix://{Path.home()}/.docker/run/docker.sock")
"""The addresses to try if no daemon is configured."""

STORE_SECONDS = 60.0
"""Timeout of a credential store; a slower one is assumed to work, because Docker waits without a timeout."""

_KINDS: dict[str, type[str | dict[str, Any]]] = {
    "credsStore": str,
    "currentContext": str,
    "auths": dict,
    "credHelpers": dict,
}
_WITHIN: dict[str, type[str | dict[str, Any]]] = {"auths": dict, "credHelpers": str}
_WORDS: dict[type, str] = {str: "a string", dict: "an object"}


def chosen_daemon(environment: Mapping[str, str]) -> str | None:
    """Return the address of the daemon that DOCKER_HOST or the current docker context names.

    Args:
        environment: the process's environment.

    Returns:
        unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH]; None for Docker's usual sockets.

    Raises:
        DaemonAddressError: the configured address is not valid.
        DaemonError: the docker context does not exist.
        DaemonTlsError: the docker context uses TLS certificates.
        DockerConfigError: Docker's config.json cannot be read.
    """
    if host := environment.get("DOCKER_HOST"):
        return daemon_address(host, "DOCKER_HOST")
    name = environment.get("DOCKER_CONTEXT") or docker_config(environment).get("currentContext") or "default"
    if name == "default":
        return None
    contexts = config_folder(environment) / "contexts"
    try:
        key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        endpoint = read_json((contexts / "meta" / key / "meta.json").read_text())["Endpoints"]["docker"]
        host, verify = str(endpoint["Host"]), "" if endpoint.get("SkipTLSVerify") else "1"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DaemonError(
            host=f"docker context {name!r}", reason="there is no such docker context; `docker context ls` lists them"
        ) from error
    certificates = contexts / "tls" / key / "docker"
    if certificates.is_dir():
        raise DaemonTlsError(context=name, host=host, folder=str(certificates), verify=verify)
    return daemon_address(host, f"docker context {name!r}")


def usual_daemon() -> str:
    """Return the address of the daemon if none is configured: the first of Docker's usual sockets that exists."""
    return next((host for host in USUAL_HOSTS if Path(urlsplit(host).path).exists()), USUAL_HOSTS[0])


def docker_config(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return Docker's config.json; empty if there is none.

    Args:
        environment: the process's environment.

    Raises:
        DockerConfigError: it cannot be read, or Docker would not accept it.
    """
    file = config_folder(environment) / "config.json"
    try:
        text = file.read_text()
        config = read_json(text) if text.strip() else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DockerConfigError(file=str(file), reason=getattr(error, "strerror", None) or str(error)) from error
    if not isinstance(config, dict | None):
        raise DockerConfigError(file=str(file), reason="it is not a JSON object")
    given = {name: value for name, value in (config or {}).items() if value is not None}
    for name, kind in _KINDS.items():
        if not isinstance(given.get(name, kind()), kind):
            raise DockerConfigError(file=str(file), reason=f"{name} is not {_WORDS[kind]}")
    for name, kind in _WITHIN.items():
        for host, value in given.get(name, {}).items():
            if not isinstance(value, kind | None):
                raise DockerConfigError(file=str(file), reason=f"{name} of {host} is not {_WORDS[kind]}")
    return given


def config_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of Docker's configuration."""
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")


@dataclass(frozen=True)
class BrokenStore:
    """A credential store that cannot list its logins, so that every build of the docker provider would fail.

    Attributes:
        program: name of its program.
        config: Docker's config.json without the store, with every other login.
    """

    program: str
    config: Mapping[str, Any]


def broken_store(environment: Mapping[str, str]) -> BrokenStore | None:
    """Return Docker's credential store if it does not work.

    Only `credsStore` is checked. If a program of `credHelpers` fails, builds still work, without the login of its own
    registry (docker/cli, configfile.GetAllCredentials).

    Args:
        environment: the process's environment.

    Raises:
        DockerConfigError: Docker's config.json cannot be read.
    """
    config = docker_config(environment)
    store = config.get("credsStore")
    if not store or _answers(store, "list", "unused"):
        return None
    return BrokenStore(_program(store), _without_store(config, store))


def _without_store(config: Mapping[str, Any], store: str) -> dict[str, Any]:
    """Return a config.json without its credential store, and with every login that is available without `list`.

    A store may return single logins although it cannot list them. Then it becomes the credential helper of each
    registry that `docker login` has recorded in `auths`.
    """
    noted = [host for host, login in config.get("auths", {}).items() if not (login or {}).get("auth")]
    helpers = {host: store for host in noted if _answers(store, "get", host)}
    kept = {name: value for name, value in config.items() if name != "credsStore"}
    return {**kept, "credHelpers": {**helpers, **config.get("credHelpers", {})}}


def _program(store: str) -> str:
    return f"docker-credential-{store}"


def _answers(store: str, verb: str, question: str) -> bool:
    """Return whether a credential store answers as Docker expects; a slow one is assumed to do so."""
    program = shutil.which(_program(store))
    if not program:
        return False
    try:
        done = subprocess.run(
            [program, verb], input=question.encode(), capture_output=True, timeout=STORE_SECONDS, check=True
        )
        return isinstance(read_json(done.stdout), dict | None)
    except subprocess.TimeoutExpired:
        return True
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
