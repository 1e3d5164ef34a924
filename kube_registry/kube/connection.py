"""The way to one API server: the stack's kube context, or a pod's service account, made into open connections.

The meaning of a kubeconfig's fields is kubernetes_asyncio's, as far as they do not change with time.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config_from_dict
from kubernetes_asyncio.config.incluster_config import SERVICE_TOKEN_FILENAME

from kube_registry.errors import Where
from kube_registry.kube.credentials import Credential, CredentialSource, impersonation, read_token
from kube_registry.kube.exec_plugin import credential_plugin
from kube_registry.kube.http_proxy import proxy_for
from kube_registry.kube.kubeconfig import Fields, KubeContext, read, usable
from kube_registry.kube.transport import Headers, open_pool, way
from kube_registry.names import IN_CLUSTER, USER_AGENT
from kube_registry.spec.settings import ClusterAddress

_LOGIN = re.compile("//[^/]*@")
"""A name and a password within a URL, which no error may repeat."""


@dataclass(frozen=True)
class Session:
    """What one request goes through, and what it shows there.

    Args:
        pool: the open connections.
        way: aiohttp's arguments for the way there: an HTTP proxy, and the name that the certificate must have.
        credential: who asks.
    """

    pool: aiohttp.ClientSession
    way: Mapping[str, Any]
    credential: Credential

    @property
    def headers(self) -> dict[str, str]:
        """The header that says who asks, unless the certificate does."""
        authorization = self.credential.authorization
        return {"Authorization": authorization} if authorization else {}


@dataclass
class Access:
    """Open connections and credentials for one API server; `open_access` makes it and closes it.

    A new client certificate gets new connections. The old ones stay until the end: a push may be on its way there.
    """

    where: Where
    configuration: Configuration
    source: CredentialSource
    headers: Headers
    opened: AsyncExitStack
    _last: Session | None = None
    _one_asks: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def session(self, refused: Session | None = None) -> Session:
        """Return the session for the next request; its credential is asked for only if there is none that is good.

        Args:
            refused: a session whose credential the API server did not accept. The credential of the one that is
                returned is the same if there is no other.

        Raises:
            KubeconfigError: there are no credentials to be had.
        """
        async with self._one_asks:
            last = self._last
            if (
                last
                and time.time() < last.credential.refresh_at
                and not (refused and refused.credential == last.credential)
            ):
                return last
            with usable(self.where):
                credential = await self.source()
                if last and last.credential.certificate == credential.certificate:
                    self._last = replace(last, credential=credential)
                else:
                    pool = open_pool(self.configuration, credential.certificate, self.headers)
                    self.opened.push_async_callback(pool.close)
                    self._last = Session(pool, way(self.configuration), credential)
                return self._last


@asynccontextmanager
async def open_access(settings: ClusterAddress) -> AsyncIterator[Access]:
    """The way to the stack's cluster, with credentials at hand, closed at the end.

    Raises:
        KubeconfigError: the kubeconfig, its kube context or that one's credentials cannot be used.
    """
    where = settings.where
    with usable(where):
        configuration, context = Configuration(), KubeContext({}, {})
        if settings.kube_context == IN_CLUSTER:
            source = _service_account(configuration)
        else:
            context = (await asyncio.to_thread(read, settings.kubeconfig)).kube_context(settings.kube_context)
            await _load(configuration, context)
            source = _source(configuration, context)
        where = replace(where, cluster=_LOGIN.sub("//", configuration.host))
        configuration.proxy = proxy_for(configuration.host, configuration.proxy)
        headers = [("User-Agent", USER_AGENT), *impersonation(context.user)]
        if context.cluster.get("disable-compression"):
            headers.append(("Accept-Encoding", "identity"))
    async with AsyncExitStack() as opened:
        access = Access(where, configuration, source, headers, opened)
        await access.session()
        yield access


def _service_account(configuration: Configuration) -> CredentialSource:
    """The pod's own way to its API server.

    Raises:
        ConfigException: this is no pod.
    """
    try:
        load_incluster_config(configuration, try_refresh_token=False)
    except ConfigException as error:
        raise ConfigException(f"it means a pod's service account, and this is no pod: {error}") from error
    return partial(read_token, Path(SERVICE_TOKEN_FILENAME))


_KINDS: Mapping[str, type[bool | str]] = {
    "insecure-skip-tls-verify": bool,
    "disable-compression": bool,
    "tls-server-name": str,
    "proxy-url": str,
}
_WORDS = {bool: "neither true nor false", str: "no text"}


async def _load(configuration: Configuration, context: KubeContext) -> None:
    """Let kubernetes_asyncio read all that does not change with time."""
    server = context.cluster.get("server")
    if not isinstance(server, str):
        raise ConfigException("its cluster names no server")
    for name, kind in _KINDS.items():
        if not isinstance(context.cluster.get(name, kind()), kind):
            raise ConfigException(f"{name} of its cluster is {_WORDS[kind]}")
    user = {name: value for name, value in context.user.items() if name not in _ASKED_FOR}
    if "username" in user or "password" in user:
        user = {"username": "", "password": "", **user}
    provider = context.user.get("auth-provider")
    if provider:
        user["token"] = _id_token(provider)
    chosen = {
        "clusters": [
            {
                "name": "chosen",
                "cluster": {**context.cluster, "server": server if "://" in server else f"http://{server}"},
            }
        ],
        "users": [{"name": "chosen", "user": user}],
        "contexts": [{"name": "chosen", "context": {"cluster": "chosen", "user": "chosen"}}],
    }
    await load_kube_config_from_dict(chosen, context="chosen", client_configuration=configuration)


def _source(configuration: Configuration, context: KubeContext) -> CredentialSource:
    """Where the credentials come from, as for kubectl.

    A token file counts before a token, and both before a plugin (client-go, plugin/pkg/client/auth/exec/exec.go,
    UpdateTransportConfig). None are shown without TLS, where everybody could read them.
    """
    if not configuration.host.startswith("https://"):
        return partial(_written_down, None)
    if context.user.get("exec") and not any(context.user.get(name) for name in _BEFORE_A_PLUGIN):
        return credential_plugin(context)
    if context.user.get("tokenFile"):
        return partial(read_token, Path(context.user["tokenFile"]), context.user.get("token"))
    return partial(_written_down, configuration.api_key.get("BearerToken"))


_BEFORE_A_PLUGIN = (
    "token",
    "tokenFile",
    "username",
    "password",
    "client-certificate",
    "client-certificate-data",
)
_ASKED_FOR = ("exec", "tokenFile", "auth-provider")


async def _written_down(authorization: str | None) -> Credential:
    return Credential(authorization.strip() if authorization else None)


def _id_token(provider: Fields) -> str:
    """The token that kubectl got by the only kind of auth provider that it still knows, and wrote down.

    Raises:
        ConfigException: it is of another kind, or kubectl has not got one.
    """
    if provider.get("name") != "oidc":
        raise ConfigException(f"its user has the auth provider {provider.get('name')}, `exec` is what took its place")
    token = (provider.get("config") or {}).get("id-token")
    if not token:
        raise ConfigException("its user has the auth provider oidc and no id-token yet, any kubectl command gets one")
    return str(token)
