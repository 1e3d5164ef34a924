"""The API server of a kube context, from those fields of a kubeconfig that do not change with time."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube_registry.kube.http_proxy import proxy_for
from kube_registry.kube.kubeconfig import Fields, KubeContext, UnusableError


@dataclass(frozen=True)
class ApiServer:
    """How to connect to an API server.

    Args:
        url: its URL, without a slash at the end.
        authority: certificates of the authorities to trust, PEM; None for those that this machine trusts.
        certificate: a client certificate, PEM.
        key: its private key, PEM; None if the certificate's file contains it.
        verify: whether to verify the API server's certificate.
        name: the name that its certificate must have; None for the URL's host.
        proxy: URL of an HTTP or SOCKS proxy; None to connect directly.
    """

    url: str
    authority: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    verify: bool = True
    name: str | None = None
    proxy: str | None = field(default=None, repr=False)


_KINDS: Mapping[str, type[bool | str]] = {
    "insecure-skip-tls-verify": bool,
    "disable-compression": bool,
    "tls-server-name": str,
    "proxy-url": str,
}
_WORDS = {bool: "neither true nor false", str: "not a string"}


def api_server(context: KubeContext) -> ApiServer:
    """Return the API server of a kube context, with the certificates that it needs.

    Raises:
        UnusableError: a field is missing, or has another type or an unsupported value.
        ValueError, TypeError: the data of a certificate is not base64.
        OSError: a file cannot be read.
    """
    cluster, user = context.cluster, context.user
    server = cluster.get("server")
    if not isinstance(server, str):
        raise UnusableError("its cluster has no server")
    for name, kind in _KINDS.items():
        if not isinstance(cluster.get(name, kind()), kind):
            raise UnusableError(f"{name} of its cluster is {_WORDS[kind]}")
    url = (server if "://" in server else f"http://{server}").rstrip("/")
    proxy = proxy_for(url, cluster.get("proxy-url"))
    if not url.startswith("https://"):
        return ApiServer(url, proxy=proxy)
    return ApiServer(
        url,
        authority=_pem(cluster, "certificate-authority"),
        certificate=_pem(user, "client-certificate"),
        key=_pem(user, "client-key"),
        verify=not cluster.get("insecure-skip-tls-verify"),
        name=cluster.get("tls-server-name"),
        proxy=proxy,
    )


def _pem(fields: Fields, name: str) -> bytes | None:
    """Return a certificate or key: the field with its data in base64, or else the file that the other field names."""
    if data := fields.get(f"{name}-data"):
        return base64.b64decode(data)
    return Path(fields[name]).read_bytes() if name in fields else None
