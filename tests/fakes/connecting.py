"""An API server that only looks at who asks and by which way, and kubeconfigs that lead there."""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from multidict import CIMultiDict

from kube_registry.kube.client import open_client
from kube_registry.kube.websocket import open_websocket
from kube_registry.spec.settings import Settings
from lab import pki

PROTOCOL = "v4.channel.k8s.io"
NAME = "api.cluster.example"
Fields = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    path: str
    authorization: str | None
    user: str | None
    headers: CIMultiDict[str]


@dataclass
class Api:
    """The server; `serve` runs it.

    Args:
        url: where it is.
        accepts: whether it knows who asks; everybody, if not told otherwise.
        asked: all requests so far.
    """

    url: str = ""
    accepts: Callable[[Asked], bool] = lambda _: True
    asked: list[Asked] = field(default_factory=list)

    @property
    def authorizations(self) -> list[str | None]:
        return [each.authorization for each in self.asked]

    @property
    def users(self) -> list[str | None]:
        return [each.user for each in self.asked]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        shown = transport.get_extra_info("peercert") if transport else None
        user = dict(pair for part in (shown or {}).get("subject", ()) for pair in part).get("commonName")
        asked = Asked(request.path, request.headers.get("Authorization"), user, CIMultiDict(request.headers))
        self.asked.append(asked)
        if not self.accepts(asked):
            return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
        if request.headers.get("Upgrade") != "websocket":
            return web.json_response({"path": request.path})
        socket = web.WebSocketResponse(protocols=[PROTOCOL])
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket


@asynccontextmanager
async def serve(
    authority: pki.Authority | None,
    *,
    names: tuple[str, ...] = ("127.0.0.1",),
) -> AsyncIterator[Api]:
    """Run one on loopback, with TLS where there is an authority to sign for it, and look at client certificates."""
    api = Api()
    runner = web.ServerRunner(web.Server(api.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls(authority, names) if authority else None)
    await site.start()
    _, port = runner.addresses[0]
    api.url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
    try:
        yield api
    finally:
        await runner.cleanup()


def server_tls(authority: pki.Authority, names: tuple[str, ...]) -> ssl.SSLContext:
    """TLS that serves under those names and asks for a client's certificate without insisting."""
    identity = pki.issue(authority, "server", addresses=names)
    pair = authority.folder / f"server-{'-'.join(names)}.pem"
    pair.write_text(identity.certificate + identity.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    tls.load_cert_chain(pair)
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Go, and so a real API server, is no stricter
    return tls


def cluster_of(api: Api, authority: pki.Authority, **more: object) -> Fields:
    """The kubeconfig's entry for that server; an underscore stands for a dash."""
    fields = {name.replace("_", "-"): value for name, value in more.items()}
    return {"server": api.url, "certificate-authority": str(authority.certificate), **fields}


def kubeconfig(file: Path, cluster: Fields, user: Fields) -> Path:
    """Write a kubeconfig with one kube context, here."""
    content = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    file.write_text(json.dumps(content))
    return file


def settings(file: Path | str | None, kube_context: str = "here") -> Settings:
    """A stack on that kube context, with a path or a whole kubeconfig; None leaves it to the environment."""
    config: dict[str, Any] = {"kubeContext": kube_context, "images": {"app": {}}}
    if file is not None:
        config["kubeconfig"] = str(file)
    return Settings.parse(config, project="kube-registry", stack="dev")


async def both_ways(chosen: Settings) -> None:
    """A request and a WebSocket that carries something."""
    async with open_client(chosen) as kube:
        assert await kube.get("/version") == {"path": "/version"}
        async with open_websocket(kube, "/socket", PROTOCOL) as socket:
            assert socket.protocol == PROTOCOL
            await socket.send_bytes(b"to the pod and back")
            assert await socket.receive_bytes(timeout=5) == b"to the pod and back"


async def in_a_pod(account: Path, server: str, path: str) -> Fields:
    """What the API server answers a pod that asks it with its service account.

    Args:
        account: the service account's files, which have a fixed place in a pod, so in a mount namespace here.
        server: URL of the API server.
        path: what the pod asks for.
    """
    url = urlsplit(server)
    env = {**os.environ, "KUBERNETES_SERVICE_HOST": str(url.hostname), "KUBERNETES_SERVICE_PORT": str(url.port)}
    place = "/run/secrets/kubernetes.io/serviceaccount"
    mounted = f"mount -t tmpfs none /run && mkdir -p {place} && mount --bind {account} {place}"
    command = ["unshare", "--mount", "sh", "-c", f'{mounted} && exec "$@"', "sh", sys.executable, "-c", _POD, path]
    pod = await asyncio.create_subprocess_exec(
        *command, env={**env, "KUBECONFIG": str(account / "none")}, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await pod.communicate()
    answer: Fields = json.loads(said)
    return answer


_POD = """
import asyncio, json, sys
from kube_registry.kube.client import open_client
from tests.fakes.connecting import settings

async def main():
    async with open_client(settings(None, "in-cluster")) as kube:
        print(json.dumps(await kube.get(sys.argv[1])))

asyncio.run(main())
"""
