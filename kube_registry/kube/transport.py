"""TLS and proxy of connections to an API server, configured as in Go, and so in kubectl."""

import asyncio
import base64
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from yarl import URL

from kube_registry.kube.api_server import ApiServer
from kube_registry.kube.http_proxy import SOCKS

Headers = Sequence[tuple[str, str]]
"""Names and values; a name may appear more than once."""


class WebSocket(aiohttp.ClientWebSocketResponse):
    """aiohttp's WebSocket with its transport, for buffer limits and to reset the connection.

    Attributes:
        transport: asyncio's transport, which may be closed.
        answered: the subprotocol of the answer, which aiohttp drops if it was not asked for; "none" if none.
    """

    def __init__(self, reader: Any, writer: Any, protocol: str | None, response: Any, *args: Any, **kw: Any) -> None:  # noqa: ANN401 - aiohttp's signature
        super().__init__(reader, writer, protocol, response, *args, **kw)
        self.transport: asyncio.Transport = response.connection.transport
        self.answered: str = response.headers.get("Sec-WebSocket-Protocol", "none")


def open_pool(server: ApiServer, certificate: tuple[str, str] | None, headers: Headers) -> aiohttp.ClientSession:
    """Open a pool of connections, which the caller closes.

    The pool has no limit: a hundred pushes must not delay a request. The proxy is always set explicitly: aiohttp would
    choose another one, and read passwords from ~/.netrc.

    Args:
        server: the API server.
        certificate: a client certificate and its key, both PEM, instead of those of the kubeconfig.
        headers: headers of every request; one name may have several values.
    """
    tls, proxy = _tls(server, certificate), URL(server.proxy or "")
    if proxy.scheme in SOCKS:
        from kube_registry.kube.socks import SocksConnector  # noqa: PLC0415 - few have such a proxy

        connector: aiohttp.TCPConnector = SocksConnector(proxy, tls)
    else:
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    return aiohttp.ClientSession(connector=connector, headers=headers, ws_response_class=WebSocket)


def route(server: ApiServer) -> Mapping[str, Any]:
    """Return aiohttp's arguments for each request: an HTTP proxy, and the name that the certificate must have.

    The proxy's password is not part of the proxy's URL, because aiohttp's errors print the URL.
    """
    arguments: dict[str, Any] = {"server_hostname": server.name}
    proxy = URL(server.proxy or "")
    if proxy and proxy.scheme not in SOCKS:
        arguments["proxy"] = proxy.with_user(None)
        if proxy.user:
            shown = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
            arguments["proxy_headers"] = {"Proxy-Authorization": f"Basic {shown}"}
    return arguments


def _tls(server: ApiServer, certificate: tuple[str, str] | None) -> ssl.SSLContext:
    """Return TLS settings, less strict than Python 3.13's defaults; an HTTPS proxy uses the same."""
    own, key = (part.encode() for part in certificate) if certificate else (server.certificate, server.key)
    with TemporaryDirectory(prefix="kube-registry-") as folder:  # Python reads client certificates from files only
        tls = ssl.create_default_context(cafile=_written(folder, "ca.crt", server.authority))
        if own:
            tls.load_cert_chain(str(_written(folder, "client.crt", own)), _written(folder, "client.key", key))
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not server.verify:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


def _written(folder: str, name: str, pem: bytes | None) -> str | None:
    if pem is None:
        return None
    Path(folder, name).write_bytes(pem)
    return str(Path(folder, name))
