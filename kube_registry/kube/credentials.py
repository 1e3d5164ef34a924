"""What the API server is shown of who asks, and when another credential has to be asked for.

kubernetes_asyncio reads credentials once; a push may outlast them, and an open tunnel outlasts them by far.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes_asyncio.config import ConfigException

TOKEN_FILE_SECONDS = 60.0
"""How long a token is used before its file is read again, as in client-go (transport/token_source.go)."""

AHEAD_SECONDS = 60.0
"""How long before its end a credential is replaced."""


@dataclass(frozen=True)
class Credential:
    """One credential.

    Args:
        authorization: value of the header Authorization.
        certificate: a client certificate and its key, both PEM.
        refresh_at: when another one is asked for, in seconds since the epoch.
    """

    authorization: str | None = field(default=None, repr=False)
    certificate: tuple[str, str] | None = field(default=None, repr=False)
    refresh_at: float = field(default=math.inf, compare=False)


CredentialSource = Callable[[], Awaitable[Credential]]
"""Where credentials come from; the same one every time where they are simply written down."""


def refresh_at(expires: datetime) -> float:
    """When to replace a credential, in seconds since the epoch: ahead of its end, but not in its first half."""
    now, end = time.time(), expires.timestamp()
    return end - min(AHEAD_SECONDS, max(0.0, end - now) / 2)


async def read_token(file: Path, otherwise: str | None = None) -> Credential:
    """The token in a file, which another program keeps fresh.

    Args:
        file: the file.
        otherwise: the token to show where there is none in the file, as for client-go.

    Raises:
        ConfigException: there is no token.
        OSError: the file cannot be read.
    """
    try:
        token = (await asyncio.to_thread(file.read_text)).strip() or otherwise
    except OSError:
        if not otherwise:
            raise
        token = otherwise
    if not token:
        raise ConfigException(f"{file} is empty, there should be a token in it")
    return Credential(f"Bearer {token}", refresh_at=time.time() + TOKEN_FILE_SECONDS)


def impersonation(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The headers that have a request treated as another user's (client-go transport/round_trippers.go).

    Args:
        user: the user in the kubeconfig, with `as`, `as-uid`, `as-groups` and `as-user-extra`.

    Raises:
        ConfigException: they are not written down as they should be.
    """
    name, uid, groups, extra = (user.get(key) for key in ("as", "as-uid", "as-groups", "as-user-extra"))
    if not name:
        if uid or groups or extra:
            raise ConfigException("its user has as-uid, as-groups or as-user-extra, which need `as`")
        return ()
    if not isinstance(groups or [], list) or not isinstance(extra or {}, dict):
        raise ConfigException("as-groups of its user is no list, or as-user-extra no map of lists")
    headers = [("Impersonate-User", name), *([("Impersonate-Uid", uid)] if uid else [])]
    headers += [("Impersonate-Group", group) for group in groups or []]
    for key, values in (extra or {}).items():
        if not isinstance(values, list):
            raise ConfigException(f"as-user-extra of its user has no list under {key}")
        headers += [(f"Impersonate-Extra-{quote(key, safe=_IN_A_HEADERS_NAME)}", value) for value in values]
    return tuple((header, str(value)) for header, value in headers)


_IN_A_HEADERS_NAME = "!#$&'*+-.^_`|~"
"""What may stand in a header's name besides letters and digits (RFC 9110, token), less % (client-go)."""
