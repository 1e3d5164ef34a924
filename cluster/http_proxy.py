"""The proxy on the way to an API server, by the rules that kubectl has.

aiohttp's own rules would send kind's or the lab's API server on 127.0.0.1 through the proxy of the office, and know
no networks in NO_PROXY (Go: golang.org/x/net/http/httpproxy).
"""

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from kubernetes_asyncio.config import ConfigException


def proxy_for(server: str, proxy_url: str | None) -> str | None:
    """URL of the proxy that leads to the API server, None for the direct way.

    Args:
        server: URL of the API server.
        proxy_url: `proxy-url` of its cluster in the kubeconfig, which counts before HTTPS_PROXY and NO_PROXY.

    Raises:
        ConfigException: it is of a kind that cannot be used.
    """
    url, environment = urlsplit(server), getproxies_environment()
    if proxy_url:
        return _usable(proxy_url, "proxy-url")
    if url.scheme in environment and not _goes_direct(url.hostname or "", url.port, environment):
        return _usable(environment[url.scheme], f"{url.scheme.upper()}_PROXY")
    return None


def _goes_direct(host: str, port: int | None, environment: dict[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return True
    if address and any(address in network for network in _networks(environment.get("no", ""))):
        return True
    return bool(proxy_bypass(f"{host}:{port}" if port else host))


def _usable(proxy: str, source: str) -> str:
    whole = proxy if "://" in proxy else f"http://{proxy}"
    url = urlsplit(whole)
    if url.scheme != "http":
        raise ConfigException(f"{source} names a {url.scheme}:// proxy, {url.hostname}, only http:// ones can be used")
    return whole


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _networks(no_proxy: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for part in no_proxy.split(","):
        try:
            found.append(ipaddress.ip_network(part.strip(), strict=False))
        except ValueError:
            continue
    return found
