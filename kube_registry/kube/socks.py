"""Connections through a SOCKS5 proxy, for aiohttp, which has none. Import this only where there is such a proxy."""

import asyncio
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from kubernetes_asyncio.config import ConfigException
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy
from yarl import URL

PORT = 1080
"""A SOCKS proxy's port where its URL names none, as for Go."""


class _ProxyResolves(AbstractResolver):
    """Leaves a host's name as it is: the proxy looks it up."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


class SocksConnector(aiohttp.TCPConnector):
    """aiohttp's connector with the proxy's connection in the place of its own; TLS and the pool stay aiohttp's.

    The package aiohttp-socks does the same, but checks certificates for the host of the URL, so that
    `tls-server-name` would not count.

    Args:
        proxy: URL of the proxy.
        tls: how the API server is met.

    Raises:
        ConfigException: the proxy's name or password cannot be shown.
    """

    def __init__(self, proxy: URL, tls: ssl.SSLContext) -> None:
        if not f"{proxy.user}{proxy.password}".isascii():
            raise ConfigException("the SOCKS proxy's name or password has other letters than ASCII")
        super().__init__(limit=0, ssl=tls, resolver=_ProxyResolves())
        self._socks = Proxy(ProxyType.SOCKS5, proxy.host or "", proxy.port or PORT, proxy.user, proxy.password)

    async def _wrap_create_connection(
        self,
        *args: Any,  # noqa: ANN401 - as aiohttp has it
        addr_infos: list[Any],
        **given: Any,  # noqa: ANN401 - likewise
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        host, port = addr_infos[0][4][:2]
        try:
            socket = await self._socks.connect(host, port)
        except ProxyError as error:
            raise aiohttp.ClientConnectionError(f"the proxy does not connect to {host}:{port}: {error}") from error
        return await self._wrap_existing_connection(*args, sock=socket, **given)
