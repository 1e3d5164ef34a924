"""What the API server is shown of who asks, and when that has to be asked for anew.

kubernetes_asyncio reads credentials once; a push may outlast them, and an open tunnel outlasts them by far.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

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
        stale: seconds since the epoch from which on another one is asked for.
    """

    authorization: str | None = field(default=None, repr=False)
    certificate: tuple[str, str] | None = field(default=None, repr=False)
    stale: float = field(default=math.inf, compare=False)


Ask = Callable[[], Awaitable[Credential]]
"""Where credentials come from; the same one every time where they are simply written down."""


@dataclass
class Credentials:
    """The credential of one client, asked for when there is none, when it is stale and when it was refused."""

    ask: Ask
    _held: Credential | None = None
    _one_asks: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(self) -> Credential:
        """The credential for the next request."""
        async with self._one_asks:
            if self._held is None or time.time() >= self._held.stale:
                self._held = await self.ask()
            return self._held

    async def after(self, refused: Credential) -> Credential:
        """The credential in place of one that the API server did not accept; the same one if there is no other."""
        async with self._one_asks:
            if self._held is None or self._held == refused:
                self._held = await self.ask()
            return self._held


def stale_at(expires: datetime) -> float:
    """When to replace a credential, in seconds since the epoch: ahead of its end, but not in its first half."""
    now, end = time.time(), expires.timestamp()
    return end - min(AHEAD_SECONDS, max(0.0, end - now) / 2)


async def read_token(file: Path) -> Credential:
    """The token in a file, which somebody else keeps fresh.

    Raises:
        ConfigException: there is none in it.
        OSError: it cannot be read.
    """
    token = (await asyncio.to_thread(file.read_text)).strip()
    if not token:
        raise ConfigException(f"{file} is empty, there should be a token in it")
    return Credential(f"Bearer {token}", stale=time.time() + TOKEN_FILE_SECONDS)
