"""The HTTP or SOCKS proxy for connections to an API server, chosen by kubectl's rules.

aiohttp's rules would send requests to kind's or the lab's API server on 127.0.0.1 through a company's proxy, and
Python's rules support neither networks nor `*.` in NO_PROXY (Go: golang.org/x/net/http/httpproxy; client-go:
tools/clientcmd/helpers.go).
"""

import ipaddress
import os
from urllib.parse import urlsplit

from kube_registry.kube.kubeconfig import UnusableError

SOCKS = ("socks5", "socks5h")
"""Schemes of SOCKS5 proxies. Go treats both alike: the proxy resolves the API server's name."""

_KNOWN = ("http", "https", *SOCKS)
_PORTS = {"http": 80, "https": 443}


def proxy_for(server: str, proxy_url: str | None) -> str | None:
    """Return the URL of the HTTP or SOCKS proxy for an API server; None to connect directly.

    Args:
        server: URL of the API server.
        proxy_url: `proxy-url` of the cluster in the kubeconfig; overrides HTTPS_PROXY and NO_PROXY.

    Raises:
        UnusableError: this kind of proxy is not supported.
    """
    url = urlsplit(server)
    if proxy_url:
        return _usable(proxy_url, "proxy-url")
    variable = f"{url.scheme.upper()}_PROXY"
    proxy = _variable(variable)
    if proxy and not _goes_direct(url.hostname or "", url.port or _PORTS.get(url.scheme, 0)):
        return _usable(proxy, variable)
    return None


def _variable(name: str) -> str:
    """Return an environment variable by its upper-case or lower-case name; an empty variable counts as unset."""
    return os.environ.get(name) or os.environ.get(name.lower()) or ""


def _goes_direct(host: str, port: int) -> bool:
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return True
    rules = [rule.strip().lower() for rule in _variable("NO_PROXY").split(",")]
    return any(rule and _exempts(rule, host, port) for rule in rules)


def _exempts(rule: str, host: str, port: int) -> bool:
    """Return whether a rule of NO_PROXY matches a host: `*`, a network, or an address or domain with optional port."""
    address = _address(host)
    if rule == "*":
        return True
    if "/" in rule:
        network = _network(rule)
        return bool(address and network and address in network)
    name, rule_port = _split_port(rule)
    if rule_port not in ("", str(port)):
        return False
    if address or _address(name):
        return address == _address(name)
    name = name.removeprefix("*")
    return host.endswith(name if name.startswith(".") else f".{name}") or host == name


def _split_port(rule: str) -> tuple[str, str]:
    """Return a rule's host and its port, or ""; an IPv6 address with a port is in brackets."""
    if rule.startswith("["):
        host, _, port = rule[1:].partition("]:")
        return host, port
    host, colon, port = rule.partition(":")
    return (host, port) if colon and ":" not in port else (rule, "")


def _usable(proxy: str, source: str) -> str:
    full = proxy if "://" in proxy else f"http://{proxy}"
    url = urlsplit(full)
    if url.scheme not in _KNOWN:
        kinds = f"{', '.join(_KNOWN[:-1])} and {_KNOWN[-1]}"
        raise UnusableError(f"{source} has a {url.scheme}:// proxy, {url.hostname}; only {kinds} are supported")
    return full


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return None
