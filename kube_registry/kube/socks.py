"""SOCKS5 proxies for aiohttp, which does not support them. Import this only if there is such a proxy."""

import asyncio
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy
from yarl import URL

from kube_registry.kube.kubeconfig import UnusableError

PORT = 1080
"""Default port of a SOCKS proxy, as in Go."""


class _ProxyResolves(AbstractResolver):
    """Returns a host name unresolved: the proxy resolves it."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


class SocksConnector(aiohttp.TCPConnector):
    """aiohttp's connector, with connections through a proxy; TLS and the pool stay aiohttp's.

    The package aiohttp-socks does the same, but verifies certificates against the host of the URL, which would ignore
    `tls-server-name`.

    Args:
        proxy: URL of the proxy.
        tls: TLS settings for the API server.

    Raises:
        UnusableError: the proxy's user name or password is not ASCII.
    """

    def __init__(self, proxy: URL, tls: ssl.SSLContext) -> None:
        if not f"{proxy.user}{proxy.password}".isascii():
            raise UnusableError("the SOCKS proxy's user name or password is not ASCII")
        super().__init__(limit=0, ssl=tls, resolver=_ProxyResolves())
        self._socks = Proxy(ProxyType.SOCKS5, proxy.host or "", proxy.port or PORT, proxy.user, proxy.password)

    async def _wrap_create_connection(
        self,
        *args: Any,  # noqa: ANN401 - aiohttp's signature
        addr_infos: list[Any],
        **kwargs: Any,  # noqa: ANN401 - aiohttp's signature
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        host, port = addr_infos[0][4][:2]
        try:
            socket = await self._socks.connect(host, port)
        except ProxyError as error:
            raise aiohttp.ClientConnectionError(f"the proxy cannot connect to {host}:{port}: {error}") from error
        return await self._wrap_existing_connection(*args, sock=socket, **kwargs)
