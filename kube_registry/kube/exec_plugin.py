"""Credential plugins: programs that a kubeconfig names under `exec`, such as `aws eks get-token`.

The protocol is Kubernetes' client.authentication.k8s.io, v1 and v1beta1 (Kubernetes reference, client-go credential
plugins).
"""

import asyncio
import base64
import json
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kube_registry.foreign_json import read_json
from kube_registry.kube.credentials import Credential, CredentialSource, refresh_at
from kube_registry.kube.errors import CredentialPluginError, CredentialPluginFailedError
from kube_registry.kube.kubeconfig import Fields, KubeContext, UnusableError
from kube_registry.limits import PLUGIN_SECONDS
from kube_registry.processes import started
from kube_registry.text import one_line

LOGIN_SECONDS = 120.0
"""Timeout of a plugin that can ask a person at a terminal to log in."""

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

_CLUSTER_FIELDS = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)
_CLUSTER_CONFIG = "client.authentication.k8s.io/exec"
"""Name of the cluster's extension whose content is for plugins."""

_MOST_LETTERS = 300
_PIECE = 4096


def credential_plugin(context: KubeContext) -> CredentialSource:
    """Return the credential source that runs the plugin of a kube context's user.

    The source raises UnusableError: with CredentialPluginError if the program is missing or not executable, and with
    CredentialPluginFailedError if it fails, takes too long, or prints something else than a credential.

    Raises:
        UnusableError: the field `exec` is invalid.
        OSError: the cluster's certificate authority, which the plugin requires, cannot be read.
    """
    plugin: Fields = context.user["exec"]
    version, mode = plugin.get("apiVersion"), plugin.get("interactiveMode") or "IfAvailable"
    if not plugin.get("command"):
        raise UnusableError("`exec` of its user has no command")
    if version not in API_VERSIONS:
        raise UnusableError(f"`exec` of its user has apiVersion {version}, not {' or '.join(API_VERSIONS)}")
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise UnusableError(f"its credential plugin {plugin['command']} requires a terminal (interactiveMode Always)")
    interactive = terminal and mode != "Never"
    spec = {"interactive": interactive, **({"cluster": _cluster(context)} if plugin.get("provideClusterInfo") else {})}
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    return partial(
        _credential,
        (str(plugin["command"]), *(str(word) for word in plugin.get("args") or [])),
        env={
            **os.environ,
            **{each["name"]: str(each["value"]) for each in plugin.get("env") or []},
            "KUBERNETES_EXEC_INFO": json.dumps(info),
        },
        api_version=version,
        interactive=interactive,
        hint=f" ({one_line(str(plugin['installHint']))})" if plugin.get("installHint") else "",
    )


def _cluster(context: KubeContext) -> Fields:
    """Return the cluster with the protocol's field names; its certificate authority is always inline data."""
    cluster = {name: context.cluster[name] for name in _CLUSTER_FIELDS if context.cluster.get(name)}
    if "certificate-authority-data" not in cluster and context.cluster.get("certificate-authority"):
        data = Path(context.cluster["certificate-authority"]).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(data).decode()
    for extension in context.cluster.get("extensions") or []:
        if extension.get("name") == _CLUSTER_CONFIG:
            cluster["config"] = extension.get("extension")
    return cluster


async def _credential(
    command: tuple[str, ...], *, env: Mapping[str, str], api_version: str, interactive: bool, hint: str
) -> Credential:
    """Run a plugin, and return its credential.

    Args:
        command: the program and its arguments.
        env: its environment.
        api_version: version of the protocol.
        interactive: whether the plugin may prompt on the terminal, which then shows its standard error.
        hint: how to install the plugin, from the kubeconfig.
    """
    seconds = LOGIN_SECONDS if interactive else PLUGIN_SECONDS
    stdin = sys.stdin if interactive else DEVNULL  # the plugin prompts on our terminal; another session has none
    try:
        async with (
            asyncio.timeout(seconds),
            started(*command, env=env, stdin=stdin, session=not interactive) as process,
        ):
            assert process.stdout  # noqa: S101 - a pipe, see `started`
            answer, words, _ = await asyncio.gather(
                process.stdout.read(), _last_words(process, shown=interactive), process.wait()
            )
        if process.returncode:
            raise _failed(command, f"failed with exit code {process.returncode}: {words or 'no message'}")
    except TimeoutError as error:
        raise _failed(command, f"did not finish within {seconds:g} s") from error
    except FileNotFoundError as error:
        raise UnusableError(f"{command[0]} is missing{hint}", CredentialPluginError) from error
    except OSError as error:
        words = os.strerror(error.errno or 0)
        raise UnusableError(f"{command[0]} cannot be run: {words}", CredentialPluginError) from error
    try:
        return _parsed(read_json(answer), api_version)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _failed(command, f"did not print a {api_version} ExecCredential: {error}") from error


async def _last_words(process: asyncio.subprocess.Process, *, shown: bool) -> str:
    """Return the end of a plugin's standard error; copy it to the terminal as it arrives if `shown`."""
    assert process.stderr  # noqa: S101 - a pipe, see `started`
    words = ""
    while piece := await process.stderr.read(_PIECE):
        text = piece.decode(errors="replace")
        words = f"{words}{text}"[-_PIECE:]
        if shown:
            sys.stderr.write(text)
            sys.stderr.flush()
    return one_line(words)[-_MOST_LETTERS:]


def _parsed(answer: dict[str, Any], api_version: str) -> Credential:
    """Return the credential in a plugin's output.

    Raises:
        ValueError: the output has no credential, or another version.
        LookupError: a field is missing.
        TypeError, AttributeError: a field has another type.
    """
    status = answer["status"]
    if (answer["kind"], answer["apiVersion"]) != ("ExecCredential", api_version):
        raise ValueError(f"it is {answer['apiVersion']} {answer['kind']}")
    token, certificate, key = (status.get(n) for n in ("token", "clientCertificateData", "clientKeyData"))
    if bool(certificate) != bool(key) or not (token or key):
        raise ValueError("it has neither a token nor a certificate with its key")
    expires = status.get("expirationTimestamp")
    return Credential(
        authorization=f"Bearer {token.strip()}" if token else None,
        certificate=(certificate, key) if certificate else None,
        **({"refresh_at": refresh_at(_time(expires))} if expires else {}),
    )


def _time(text: str) -> datetime:
    """Return a time of RFC 3339, as Kubernetes writes it; one without a time zone is in UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _failed(command: tuple[str, ...], what: str) -> UnusableError:
    return UnusableError(f"{command[0]} {what}", CredentialPluginFailedError)
