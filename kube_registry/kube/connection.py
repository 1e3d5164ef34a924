"""Open connections to one API server, from the stack's kube context or a pod's service account."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from kube_registry.errors import Where
from kube_registry.kube.api_server import ApiServer, api_server
from kube_registry.kube.credentials import Credential, CredentialSource, authorization, impersonation, read_token
from kube_registry.kube.exec_plugin import credential_plugin
from kube_registry.kube.kubeconfig import KubeContext, UnusableError, read, usable
from kube_registry.kube.transport import Headers, open_pool, route
from kube_registry.kubeconfig_setting import service_account
from kube_registry.names import IN_CLUSTER, USER_AGENT
from kube_registry.spec.cluster_address import ClusterAddress

_LOGIN = re.compile("//[^/]*@")
"""User name and password in a URL, which errors must not show."""

_OVERRIDES_PLUGIN = ("token", "tokenFile", "username", "password", "client-certificate", "client-certificate-data")


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
    server: ApiServer
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
                    pool = open_pool(self.server, credential.certificate, self.headers)
                    self.opened.push_async_callback(pool.close)
                    self._last = Session(pool, route(self.server), credential)
                return self._last


@asynccontextmanager
async def open_access(settings: ClusterAddress) -> AsyncIterator[Access]:
    """Connect to the stack's cluster with valid credentials, and close the connections at the end.

    Raises:
        KubeconfigError: the kubeconfig, the kube context or its credentials cannot be used.
    """
    where = settings.where
    with usable(where):
        kubeconfig = _of_service_account() if settings.kube_context == IN_CLUSTER else settings.kubeconfig
        context = (await asyncio.to_thread(read, kubeconfig)).kube_context(settings.kube_context)
        server = await asyncio.to_thread(api_server, context)
        source = _source(server, context)
        where = replace(where, cluster=_LOGIN.sub("//", server.url))
        headers = [("User-Agent", USER_AGENT), *impersonation(context.user)]
        if context.cluster.get("disable-compression"):
            headers.append(("Accept-Encoding", "identity"))
    async with AsyncExitStack() as opened:
        access = Access(where, server, source, headers, opened)
        await access.session()
        yield access


def _of_service_account() -> str:
    """Return a kubeconfig for the service account of this pod.

    Raises:
        UnusableError: this program does not run in a pod.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        problem = "it stands for a pod's service account, but this is not a pod: KUBERNETES_SERVICE_HOST is not set"
        raise UnusableError(problem)
    return service_account(os.environ)


def _source(server: ApiServer, context: KubeContext) -> CredentialSource:
    """Return the source of the credentials, as kubectl chooses it.

    A token file takes precedence over a token, and both over a plugin (client-go,
    plugin/pkg/client/auth/exec/exec.go, UpdateTransportConfig). No credentials are sent without TLS, where anyone
    could read them.
    """
    static = authorization(context.user)
    if not server.url.startswith("https://"):
        return partial(_static, None)
    if context.user.get("exec") and not any(context.user.get(name) for name in _OVERRIDES_PLUGIN):
        return credential_plugin(context)
    if context.user.get("tokenFile"):
        return partial(read_token, Path(context.user["tokenFile"]), context.user.get("token"))
    return partial(_static, static)


async def _static(value: str | None) -> Credential:
    return Credential(value)
