"""Read the logins of Docker's configuration like the real provider, which collects them before a build.

Source: pulumi-docker provider/image.go (getDefaultDockerConfig, GetAllCredentials, getRegistryAuth) and docker/cli
28.5, cli/config/configfile and cli/config/credentials. DOCKER_AUTH_CONFIG is not read.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.docker_provider.errors import ProviderError

HUB = "https://index.docker.io/v1/"
"""The key of Docker Hub in Docker's configuration."""

_NOT_FOUND = "credentials not found in native keychain"
_TOKEN = "<token>"  # noqa: S105 - the user name for an identity token


@dataclass(frozen=True)
class Login:
    """The credentials for a registry; empty if there is no login."""

    username: str = ""
    secret: str = ""

    def as_auth(self, host: str) -> dict[str, str]:
        """Return the login for the Docker engine's API (AuthConfig)."""
        named = {"username": self.username, "password": self.secret}
        return {**({"identitytoken": self.secret} if self.username == _TOKEN else named), "serveraddress": host}


@dataclass(frozen=True)
class Logins:
    """The logins in Docker's config.json."""

    store: str
    helpers: dict[str, str]
    file: dict[str, Login]

    @classmethod
    def read(cls) -> "Logins":
        """Read config.json in the folder DOCKER_CONFIG, else in ~/.docker.

        Raises:
            ProviderError: it is not valid.
        """
        file = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "config.json")
        try:
            config = json.loads(file.read_text() or "null") or {} if file.exists() else {}
            logins = {host: _decoded((login or {}).get("auth")) for host, login in (config.get("auths") or {}).items()}
            store = config.get("credsStore") or _usual_store()
            return cls(store, dict(config.get("credHelpers") or {}), logins)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ProviderError(f"parsing config file ({file}): {error}") from error

    def every(self) -> dict[str, Login]:
        """Return all logins: those of the store, or else of the file, and those of the helpers of single registries.

        Raises:
            ProviderError: the store failed. The failure of a helper is printed to standard error.
        """
        logins = self.file
        if self.store:
            listed = json.loads(_ask(self.store, "list", "unused"))
            logins = {host: self._from_helper(self.store, host) for host in listed or {}}
        for host in self.helpers:
            try:
                logins = {**logins, host: self.of(host)}
            except ProviderError as error:
                print(f"Failed to get credentials for registry: {host}: {error}", file=sys.stderr)
        return logins

    def of(self, host: str) -> Login:
        """Return the login for a registry.

        Raises:
            ProviderError: its helper or the store failed.
        """
        helper = self.helpers.get(host, self.store)
        if helper:
            return self._from_helper(helper, host)
        alike = (
            login for name, login in self.file.items() if (urlsplit(name).netloc or name.partition("/")[0]) == host
        )
        return self.file.get(host) or next(alike, Login())

    def _from_helper(self, helper: str, host: str) -> Login:
        answer = _ask(helper, "get", host)
        if answer == _NOT_FOUND:
            return Login()
        found: dict[str, Any] = json.loads(answer)
        return Login(found.get("Username", ""), found.get("Secret", ""))


def _usual_store() -> str:
    """Return the platform's store where the configuration names none and its program is there (DetectDefaultStore)."""
    usual = "pass" if shutil.which("pass") else "secretservice"
    return usual if shutil.which(f"docker-credential-{usual}") else ""


def _decoded(auth: str | None) -> Login:
    username, _, secret = base64.b64decode(auth or "").decode().partition(":")
    return Login(username, secret.strip("\0"))


def _ask(helper: str, verb: str, question: str) -> str:
    """Run a credential helper and return its output, or `_NOT_FOUND` if it has no login for a registry."""
    program, doing = f"docker-credential-{helper}", {"list": "listing", "get": "getting"}[verb]
    try:
        done = subprocess.run([program, verb], input=question, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        reason = f'exec: "{program}": executable file not found in $PATH, out: ``'
        raise ProviderError(f"error {doing} credentials - err: {reason}") from None
    output = done.stdout.strip()
    if done.returncode == 0:
        return output
    if verb == "get" and output == _NOT_FOUND:
        return _NOT_FOUND
    raise ProviderError(f"error {doing} credentials - err: exit status {done.returncode}, out: `{output}`")
