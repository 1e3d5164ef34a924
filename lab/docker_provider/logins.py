"""The logins of Docker's configuration, as the real provider collects them before a build.

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
"""What Docker's configuration calls Docker Hub."""

_NOT_FOUND = "credentials not found in native keychain"
_TOKEN = "<token>"  # noqa: S105 - the user's name of an identity token


@dataclass(frozen=True)
class Login:
    """What a registry is given; empty where there is no login."""

    username: str = ""
    secret: str = ""

    def as_auth(self, host: str) -> dict[str, str]:
        """The login as the Docker engine's API takes it (AuthConfig)."""
        named = {"username": self.username, "password": self.secret}
        return {**({"identitytoken": self.secret} if self.username == _TOKEN else named), "serveraddress": host}


@dataclass(frozen=True)
class Logins:
    """Docker's config.json as far as it is about logins."""

    store: str
    helpers: dict[str, str]
    file: dict[str, Login]

    @classmethod
    def read(cls) -> "Logins":
        """Read what DOCKER_CONFIG names, else ~/.docker.

        Raises:
            ProviderError: it is not as Docker wants it.
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
        """All logins: those that the store lists, or those in the file; and those of single registries' helpers.

        Raises:
            ProviderError: the store failed. A helper that fails is remarked on standard error.
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
        """The login for one registry.

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
    """The platform's store where the configuration names none and its program is there (DetectDefaultStore)."""
    usual = "pass" if shutil.which("pass") else "secretservice"
    return usual if shutil.which(f"docker-credential-{usual}") else ""


def _decoded(auth: str | None) -> Login:
    username, _, secret = base64.b64decode(auth or "").decode().partition(":")
    return Login(username, secret.strip("\0"))


def _ask(helper: str, verb: str, question: str) -> str:
    """What a helper answers, or that it knows nothing of a registry."""
    program, doing = f"docker-credential-{helper}", {"list": "listing", "get": "getting"}[verb]
    try:
        done = subprocess.run([program, verb], input=question, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        reason = f'exec: "{program}": executable file not found in $PATH, out: ``'
        raise ProviderError(f"error {doing} credentials - err: {reason}") from None
    said = done.stdout.strip()
    if done.returncode == 0:
        return said
    if verb == "get" and said == _NOT_FOUND:
        return _NOT_FOUND
    raise ProviderError(f"error {doing} credentials - err: exit status {done.returncode}, out: `{said}`")
