"""Credential plugins: the program that a kubeconfig names under `exec`, such as `aws eks get-token`.

The protocol is Kubernetes' client.authentication.k8s.io, v1 and v1beta1 (Kubernetes reference, client-go credential
plugins). kubernetes_asyncio runs plugins too, but without end, and tells them nothing of the cluster.
"""

import asyncio
import base64
import json
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes_asyncio.config import ConfigException
from kubernetes_asyncio.config.dateutil import parse_rfc3339

from kube_registry.foreign_json import read_json
from kube_registry.kube.credentials import Credential, CredentialSource, refresh_at
from kube_registry.kube.errors import CredentialPluginError, CredentialPluginFailedError
from kube_registry.kube.kubeconfig import Fields, KubeContext, UnusableError
from kube_registry.limits import PLUGIN_SECONDS
from kube_registry.processes import started
from kube_registry.text import one_line

LOGIN_SECONDS = 120.0
"""How long it may take where a person at a terminal can be asked to log in."""

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
"""Name of the cluster's extension that is meant for plugins."""

_MOST_LETTERS = 300
_PIECE = 4096


def credential_plugin(context: KubeContext) -> CredentialSource:
    """Return the source of credentials that the plugin of a kube context's user is.

    The source raises UnusableError: of CredentialPluginError if the program is missing or is none, and of
    CredentialPluginFailedError if it fails, takes too long, or answers something else.

    Raises:
        ConfigException: it is not written down as it should be.
        OSError: the cluster's certificate authority, which it wants to know, cannot be read.
    """
    wanted: Fields = context.user["exec"]
    version, mode = wanted.get("apiVersion"), wanted.get("interactiveMode") or "IfAvailable"
    if not wanted.get("command"):
        raise ConfigException("`exec` of its user names no command")
    if version not in API_VERSIONS:
        raise ConfigException(f"`exec` of its user has apiVersion {version}, known are {' and '.join(API_VERSIONS)}")
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise ConfigException(
            f"its credential plugin {wanted['command']} wants to ask a person, and there is none here"
        )
    interactive = terminal and mode != "Never"
    spec = {"interactive": interactive, **({"cluster": _told(context)} if wanted.get("provideClusterInfo") else {})}
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    return partial(
        _credential,
        (str(wanted["command"]), *(str(word) for word in wanted.get("args") or [])),
        env={
            **os.environ,
            **{each["name"]: str(each["value"]) for each in wanted.get("env") or []},
            "KUBERNETES_EXEC_INFO": json.dumps(info),
        },
        api_version=version,
        interactive=interactive,
        hint=f" ({one_line(str(wanted['installHint']))})" if wanted.get("installHint") else "",
    )


def _told(context: KubeContext) -> Fields:
    """The cluster, in the protocol's words; its certificate authority is always data there."""
    told = {name: context.cluster[name] for name in _CLUSTER_FIELDS if context.cluster.get(name)}
    if "certificate-authority-data" not in told and context.cluster.get("certificate-authority"):
        data = Path(context.cluster["certificate-authority"]).read_bytes()
        told["certificate-authority-data"] = base64.b64encode(data).decode()
    for extension in context.cluster.get("extensions") or []:
        if extension.get("name") == _CLUSTER_CONFIG:
            told["config"] = extension.get("extension")
    return told


async def _credential(
    command: tuple[str, ...], *, env: Mapping[str, str], api_version: str, interactive: bool, hint: str
) -> Credential:
    """Run a plugin for a credential.

    Args:
        command: the program and its arguments.
        env: its environment.
        api_version: the version of the protocol that it speaks.
        interactive: whether it may ask a person, who then sees what it writes to its standard error.
        hint: how to install it, in the kubeconfig's words.
    """
    seconds = LOGIN_SECONDS if interactive else PLUGIN_SECONDS
    stdin = sys.stdin if interactive else DEVNULL  # a person is asked at our terminal, which another session has not
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
            raise _failed(command, f"ended with status {process.returncode}: {words or 'no word why'}")
    except TimeoutError as error:
        raise _failed(command, f"did not end within {seconds:g} s") from error
    except FileNotFoundError as error:
        raise UnusableError(CredentialPluginError, f"{command[0]} is missing{hint}") from error
    except OSError as error:
        words = os.strerror(error.errno or 0)
        raise UnusableError(CredentialPluginError, f"{command[0]} cannot be run: {words}") from error
    try:
        return _understood(read_json(answer), api_version)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _failed(command, f"answered no {api_version} ExecCredential: {error}") from error


async def _last_words(process: asyncio.subprocess.Process, *, shown: bool) -> str:
    """Return the last of what a plugin writes to its standard error; a person sees it as it comes."""
    assert process.stderr  # noqa: S101 - a pipe, see `started`
    words = ""
    while piece := await process.stderr.read(_PIECE):
        text = piece.decode(errors="replace")
        words = f"{words}{text}"[-_PIECE:]
        if shown:
            sys.stderr.write(text)
            sys.stderr.flush()
    return one_line(words)[-_MOST_LETTERS:]


def _understood(answer: dict[str, Any], api_version: str) -> Credential:
    """Return the credential in a plugin's answer.

    Raises:
        ValueError: it gives no credential, or speaks another version.
        LookupError: it has not the fields.
        TypeError, AttributeError: they are of another kind.
    """
    status = answer["status"]
    if (answer["kind"], answer["apiVersion"]) != ("ExecCredential", api_version):
        raise ValueError(f"it is {answer['apiVersion']} {answer['kind']}")
    token, certificate, key = (status.get(n) for n in ("token", "clientCertificateData", "clientKeyData"))
    if bool(certificate) != bool(key) or not (token or key):
        raise ValueError("there is neither a token in it nor a certificate with its key")
    expires = status.get("expirationTimestamp")
    return Credential(
        authorization=f"Bearer {token.strip()}" if token else None,
        certificate=(certificate, key) if certificate else None,
        **({"refresh_at": refresh_at(parse_rfc3339(expires))} if expires else {}),
    )


def _failed(command: tuple[str, ...], what: str) -> UnusableError:
    return UnusableError(CredentialPluginFailedError, f"{command[0]} {what}")
