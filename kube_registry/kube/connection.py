"""Open connections to one API server, from the stack's kube context or a pod's service account.

kubernetes_asyncio interprets those fields of a kubeconfig that do not change with time.
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
from kube_registry.kube.transport import Headers, open_pool, route
from kube_registry.names import IN_CLUSTER, USER_AGENT
from kube_registry.spec.settings import ClusterAddress

_LOGIN = re.compile("//[^/]*@")
"""User name and password in a URL, which errors must not show."""


@dataclass(frozen=True)
class Session:
    """Connection pool and credential of one request.

    Args:
        pool: the open connections.
        route: aiohttp's arguments for each request: an HTTP proxy, and the name that the certificate must have.
        credential: the credential that the request authenticates with.
    """

    pool: aiohttp.ClientSession
    route: Mapping[str, Any]
    credential: Credential

    @property
    def headers(self) -> dict[str, str]:
        """The header Authorization; empty if a client certificate authenticates."""
        authorization = self.credential.authorization
        return {"Authorization": authorization} if authorization else {}


@dataclass
class Access:
    """Open connections and credentials for one API server; `open_access` creates and closes it.

    A new client certificate needs new connections. The old ones stay open until the end, because a push may use them.
    """

    where: Where
    configuration: Configuration
    source: CredentialSource
    headers: Headers
    opened: AsyncExitStack
    _last: Session | None = None
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def session(self, refused: Session | None = None) -> Session:
        """Return the session for the next request; get a new credential only if the last one has expired.

        Args:
            refused: a session whose credential the API server did not accept. The returned session has the same
                credential if there is no other.

        Raises:
            KubeconfigError: no credential can be obtained.
        """
        async with self._renewing:
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
                    self._last = Session(pool, route(self.configuration), credential)
                return self._last


@asynccontextmanager
async def open_access(settings: ClusterAddress) -> AsyncIterator[Access]:
    """Connect to the stack's cluster with valid credentials, and close the connections at the end.

    Raises:
        KubeconfigError: the kubeconfig, the kube context or its credentials cannot be used.
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
    """Return the credential source of the pod's service account, and configure the pod's API server.

    Raises:
        ConfigException: this program does not run in a pod.
    """
    try:
        load_incluster_config(configuration, try_refresh_token=False)
    except ConfigException as error:
        raise ConfigException(f"it stands for a pod's service account, but this is not a pod: {error}") from error
    return partial(read_token, Path(SERVICE_TOKEN_FILENAME))


_KINDS: Mapping[str, type[bool | str]] = {
    "insecure-skip-tls-verify": bool,
    "disable-compression": bool,
    "tls-server-name": str,
    "proxy-url": str,
}
_WORDS = {bool: "neither true nor false", str: "not a string"}


async def _load(configuration: Configuration, context: KubeContext) -> None:
    """Fill in the configuration by kubernetes_asyncio, from the fields that do not change with time."""
    server = context.cluster.get("server")
    if not isinstance(server, str):
        raise ConfigException("its cluster has no server")
    for name, kind in _KINDS.items():
        if not isinstance(context.cluster.get(name, kind()), kind):
            raise ConfigException(f"{name} of its cluster is {_WORDS[kind]}")
    user = {name: value for name, value in context.user.items() if name not in _DYNAMIC}
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
    """Return the source of the credentials, as kubectl chooses it.

    A token file takes precedence over a token, and both over a plugin (client-go,
    plugin/pkg/client/auth/exec/exec.go, UpdateTransportConfig). No credentials are sent without TLS, where anyone
    could read them.
    """
    if not configuration.host.startswith("https://"):
        return partial(_static, None)
    if context.user.get("exec") and not any(context.user.get(name) for name in _OVERRIDES_PLUGIN):
        return credential_plugin(context)
    if context.user.get("tokenFile"):
        return partial(read_token, Path(context.user["tokenFile"]), context.user.get("token"))
    return partial(_static, configuration.api_key.get("BearerToken"))


_OVERRIDES_PLUGIN = (
    "token",
    "tokenFile",
    "username",
    "password",
    "client-certificate",
    "client-certificate-data",
)
_DYNAMIC = ("exec", "tokenFile", "auth-provider")


async def _static(authorization: str | None) -> Credential:
    return Credential(authorization.strip() if authorization else None)


def _id_token(provider: Fields) -> str:
    """Return the token that kubectl stored for the auth provider oidc, the only one that it still supports.

    Raises:
        ConfigException: the auth provider is another one, or kubectl has stored no token yet.
    """
    if provider.get("name") != "oidc":
        raise ConfigException(f"its user has the auth provider {provider.get('name')}, which `exec` has replaced")
    token = (provider.get("config") or {}).get("id-token")
    if not token:
        raise ConfigException("its user has the auth provider oidc, but no id-token yet; any kubectl command gets one")
    return str(token)
