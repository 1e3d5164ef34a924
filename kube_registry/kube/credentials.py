"""Credentials for the API server, and when to renew them: a push may outlast them, and an open tunnel usually does."""

import asyncio
import base64
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kube_registry.kube.kubeconfig import UnusableError

TOKEN_FILE_SECONDS = 60.0
"""How long a token is used before its file is read again, as in client-go (transport/token_source.go)."""

AHEAD_SECONDS = 60.0
"""How long before a credential expires it is renewed."""


@dataclass(frozen=True)
class Credential:
    """One credential.

    Args:
        authorization: value of the header Authorization.
        certificate: a client certificate and its key, both PEM.
        refresh_at: when to renew it, in seconds since the epoch.
    """

    authorization: str | None = field(default=None, repr=False)
    certificate: tuple[str, str] | None = field(default=None, repr=False)
    refresh_at: float = field(default=math.inf, compare=False)


CredentialSource = Callable[[], Awaitable[Credential]]
"""Returns the current credential; always the same one if the kubeconfig holds it."""


def refresh_at(expires: datetime) -> float:
    """Return when to renew a credential, in seconds since the epoch: before it expires, but not in its first half."""
    now, end = time.time(), expires.timestamp()
    return end - min(AHEAD_SECONDS, max(0.0, end - now) / 2)


async def read_token(file: Path, otherwise: str | None = None) -> Credential:
    """Return the token in a file that another program keeps up to date.

    Args:
        file: the file.
        otherwise: fallback token if the file has none, as in client-go.

    Raises:
        UnusableError: there is no token.
        OSError: the file cannot be read.
    """
    try:
        token = (await asyncio.to_thread(file.read_text)).strip() or otherwise
    except OSError:
        if not otherwise:
            raise
        token = otherwise
    if not token:
        raise UnusableError(f"{file} is empty; it must contain a token")
    return Credential(f"Bearer {token}", refresh_at=time.time() + TOKEN_FILE_SECONDS)


def authorization(user: Mapping[str, Any]) -> str | None:
    """Return the header Authorization from the fields of a user that do not change with time; None without any.

    Args:
        user: the user in the kubeconfig, with `token`, `username` and `password`, or `auth-provider`.

    Raises:
        UnusableError: the auth provider has no token.
    """
    provider = user.get("auth-provider")
    token = _id_token(provider) if provider else user.get("token")
    if token:
        return f"Bearer {str(token).strip()}"
    if "username" in user or "password" in user:
        login = f"{user.get('username', '')}:{user.get('password', '')}"
        return f"Basic {base64.b64encode(login.encode()).decode()}"
    return None


def _id_token(provider: Mapping[str, Any]) -> str:
    """Return the token that kubectl stored for the auth provider oidc, the only one that it still supports.

    Raises:
        UnusableError: the auth provider is another one, or kubectl has stored no token yet.
    """
    if provider.get("name") != "oidc":
        raise UnusableError(f"its user has the auth provider {provider.get('name')}, which `exec` has replaced")
    token = (provider.get("config") or {}).get("id-token")
    if not token:
        raise UnusableError("its user has the auth provider oidc, but no id-token yet; any kubectl command gets one")
    return str(token)


def impersonation(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers that impersonate another user (client-go transport/round_trippers.go).

    Args:
        user: the user in the kubeconfig, with `as`, `as-uid`, `as-groups` and `as-user-extra`.

    Raises:
        UnusableError: one of these fields is invalid.
    """
    name, uid, groups, extra = (user.get(key) for key in ("as", "as-uid", "as-groups", "as-user-extra"))
    if not name:
        if uid or groups or extra:
            raise UnusableError("its user has as-uid, as-groups or as-user-extra, which require `as`")
        return ()
    if not isinstance(groups or [], list) or not isinstance(extra or {}, dict):
        raise UnusableError("as-groups of its user is not a list, or as-user-extra is not a map of lists")
    headers = [("Impersonate-User", name), *([("Impersonate-Uid", uid)] if uid else [])]
    headers += [("Impersonate-Group", group) for group in groups or []]
    for key, values in (extra or {}).items():
        if not isinstance(values, list):
            raise UnusableError(f"as-user-extra of its user has no list under {key}")
        headers += [(f"Impersonate-Extra-{quote(key, safe=_IN_A_HEADERS_NAME)}", value) for value in values]
    return tuple((header, str(value)) for header, value in headers)


_IN_A_HEADERS_NAME = "!#$&'*+-.^_`|~"
"""Characters allowed in a header name besides letters and digits (RFC 9110, token), except % (client-go)."""
