"""The way to one API server: the stack's kube context, or a pod's service account, made into open connections.

TLS and the meaning of a kubeconfig's fields are kubernetes_asyncio's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.client.rest import RESTClientObject
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config_from_dict
from kubernetes_asyncio.config.incluster_config import SERVICE_TOKEN_FILENAME

from cluster.credentials import Ask, Credential, Credentials, read_token
from cluster.exec_plugin import plugin_of
from cluster.http_proxy import proxy_for
from cluster.kubeconfig import Fields, KubeContext, paths, read, usable
from stack.errors import Where
from stack.names import IN_CLUSTER
from stack.settings import Settings


@dataclass(frozen=True)
class Shown:
    """What one request goes through, and what it shows there.

    Args:
        rest: kubernetes_asyncio's HTTP client, with its connections.
        credential: who asks.
    """

    rest: RESTClientObject
    credential: Credential

    @property
    def headers(self) -> dict[str, str]:
        """The headers that say who asks."""
        authorization = self.credential.authorization
        return {"Authorization": authorization} if authorization else {}


@dataclass
class Access:
    """Open connections and credentials for one API server; `open_access` makes it and closes it.

    A new client certificate gets new connections. The old ones stay until the end: a push may be on its way there.
    """

    where: Where
    kubeconfig: str
    configuration: Configuration
    credentials: Credentials
    opened: AsyncExitStack
    _last: Shown | None = None

    async def current(self) -> Shown:
        """What the next request goes through and shows.

        Raises:
            KubeconfigError: there are no credentials to be had.
        """
        with usable(self.where, self.kubeconfig):
            return self._showing(await self.credentials.current())

    async def after(self, refused: Shown) -> Shown:
        """The same in place of what the API server did not accept; its credential is the same if there is no other.

        Raises:
            KubeconfigError: there are no credentials to be had.
        """
        with usable(self.where, self.kubeconfig):
            return self._showing(await self.credentials.after(refused.credential))

    def _showing(self, credential: Credential) -> Shown:
        if self._last and self._last.credential.certificate == credential.certificate:
            self._last = replace(self._last, credential=credential)
        else:
            self._last = Shown(self._connections(credential.certificate), credential)
        return self._last

    def _connections(self, certificate: tuple[str, str] | None) -> RESTClientObject:
        with TemporaryDirectory(prefix="kube-registry-") as folder:  # OpenSSL reads certificates from files only
            if certificate:
                files = [Path(folder, name) for name in ("client.crt", "client.key")]
                for file, pem in zip(files, certificate, strict=True):
                    file.write_text(pem)
                self.configuration.cert_file, self.configuration.key_file = map(str, files)
            rest = RESTClientObject(self.configuration)
        guessing = rest.pool_manager
        # The proxy is known by now; left to guess, aiohttp would find another one, and passwords in ~/.netrc.
        rest.pool_manager = aiohttp.ClientSession(connector=guessing.connector)
        guessing.detach()
        self.opened.push_async_callback(rest.pool_manager.close)
        return rest


@asynccontextmanager
async def open_access(settings: Settings) -> AsyncIterator[Access]:
    """The way to the stack's cluster, with credentials at hand, closed at the end.

    Raises:
        KubeconfigError: the kubeconfig, its kube context or that one's credentials cannot be used.
    """
    kubeconfig = paths(settings.kubeconfig)
    where = Where(cluster="cluster not known", kube_context=settings.kube_context, namespace=settings.namespace)
    with usable(where, kubeconfig):
        configuration = Configuration()
        configuration.connection_pool_maxsize = 0  # no bound: a hundred pushes must not keep a question waiting
        configuration.disable_strict_ssl_verification = True  # Go, and so kubectl, asks for less than Python 3.13
        if settings.kube_context == IN_CLUSTER:
            ask = _service_account(configuration)
        else:
            context = (await asyncio.to_thread(read, kubeconfig)).kube_context(settings.kube_context)
            await _load(configuration, context)
            where = replace(where, cluster=configuration.host)
            ask = _asked(configuration, context, where, kubeconfig)
        where = replace(where, cluster=configuration.host)
        configuration.proxy = proxy_for(configuration.host, configuration.proxy)
    async with AsyncExitStack() as opened:
        access = Access(where, kubeconfig, configuration, Credentials(ask), opened)
        await access.current()
        yield access


def _service_account(configuration: Configuration) -> Ask:
    """The pod's own way to its API server.

    Raises:
        ConfigException: this is no pod.
    """
    try:
        load_incluster_config(configuration, try_refresh_token=False)
    except ConfigException as error:
        raise ConfigException(f"it means a pod's service account, and this is no pod: {error}") from error
    return partial(read_token, Path(SERVICE_TOKEN_FILENAME))


async def _load(configuration: Configuration, context: KubeContext) -> None:
    """Let kubernetes_asyncio read all that does not change with time."""
    if not isinstance(context.cluster.get("server"), str):
        raise ConfigException("its cluster names no server")
    user = {name: value for name, value in context.user.items() if name not in _ASKED_FOR}
    provider = context.user.get("auth-provider")
    if provider:
        user["token"] = _id_token(provider)
    chosen = {
        "clusters": [{"name": "chosen", "cluster": context.cluster}],
        "users": [{"name": "chosen", "user": user}],
        "contexts": [{"name": "chosen", "context": {"cluster": "chosen", "user": "chosen"}}],
    }
    await load_kube_config_from_dict(chosen, context="chosen", client_configuration=configuration)


def _asked(configuration: Configuration, context: KubeContext, where: Where, kubeconfig: str) -> Ask:
    """Where the credentials come from, what changes with time before what is written down, as for kubectl."""
    if context.user.get("exec"):
        return plugin_of(context, where, kubeconfig).credential
    if context.user.get("tokenFile"):
        return partial(read_token, Path(context.user["tokenFile"]))
    return partial(_written_down, configuration)


_ASKED_FOR = ("exec", "tokenFile", "auth-provider")


async def _written_down(configuration: Configuration) -> Credential:
    authorization = configuration.api_key.get("BearerToken")
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
