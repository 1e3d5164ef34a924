"""An API server that only looks at who asks and by which way, a proxy before it, and kubeconfigs that lead there."""

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

from lab import pki
from stack.settings import Settings

PROTOCOL = "v4.channel.k8s.io"
Fields = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    path: str
    authorization: str | None
    user: str | None
    headers: dict[str, str]


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
        asked = Asked(request.path, request.headers.get("Authorization"), user, dict(request.headers))
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


@dataclass
class Proxy:
    """A proxy that knows CONNECT only, and leads to one place whatever it is asked for.

    Args:
        url: where it is, with a name and a password that it wants to be shown.
        asked: the heads of the requests so far.
    """

    url: str
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def run_proxy(to: str) -> AsyncIterator[Proxy]:
    """Run one on loopback."""
    proxy = Proxy("")
    port = int(to.rpartition(":")[2])

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        proxy.asked.append(head)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(passed_on(reader, far_writer), passed_on(far_reader, writer))

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.url = f"http://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy


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
    """A stack on that kube context; None leaves it to the surroundings which kubeconfig that is."""
    config: dict[str, Any] = {"kubeContext": kube_context, "images": {"app": {}}}
    if file is not None:
        config["kubeconfig"] = str(file)
    return Settings.parse(config, project="kube-registry", stack="dev")


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
    async with asyncio.timeout(30):
        said, _ = await pod.communicate()
    answer: Fields = json.loads(said)
    return answer


_POD = """
import asyncio, json, sys
from cluster.kube import open_client
from tests.cluster.connecting import settings

async def main():
    async with open_client(settings(None, "in-cluster")) as kube:
        print(json.dumps(await kube.get(sys.argv[1])))

asyncio.run(main())
"""
