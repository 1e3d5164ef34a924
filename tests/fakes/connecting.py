"""An API server that only looks at who asks and by which way, a proxy before it, and kubeconfigs that lead there."""

import asyncio
import base64
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from multidict import CIMultiDict

from kube_registry.spec.settings import Settings
from lab import pki

PROTOCOL = "v4.channel.k8s.io"
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


@dataclass
class Proxy:
    """A proxy that leads to one place whatever it is asked for.

    Args:
        url: where it is, with a name and a password that it wants to be shown.
        asked: the host and port of each connection that it was asked for.
        shown: the names and passwords that it was shown.
    """

    url: str
    asked: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


Handshake = Callable[[Proxy, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def run_proxy(to: str, kind: str = "http", tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Run one on loopback.

    Args:
        to: URL of the place that it leads to.
        kind: scheme of its URL: http, https, socks5 or socks5h.
        tls: what an https proxy serves with.
    """
    proxy = Proxy("")
    port = int(to.rpartition(":")[2])
    handshake: Handshake = _socks if kind.startswith("socks") else _connect
    open_ends: list[asyncio.StreamWriter] = []
    running: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())
        try:
            await handshake(proxy, reader, writer)
        except EOFError:  # it was not trusted
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        open_ends.extend([writer, far_writer])
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

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    password = "s%40cret" if handshake is _socks else "s%C3%A9cret"
    proxy.url = f"{kind}://me:{password}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy
    for end in open_ends:
        end.close()
    if running:
        await asyncio.wait([task for task in running if task], timeout=5)


async def _connect(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP's CONNECT (RFC 9110, 9.3.6)."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    proxy.asked.append(head[0].removeprefix("CONNECT ").removesuffix(" HTTP/1.1"))
    proxy.shown.append(base64.b64decode(headers["Proxy-Authorization"].removeprefix("Basic ")).decode())
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")


async def _socks(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SOCKS5 (RFC 1928) with a name and a password (RFC 1929), for hosts that are names or IPv4 addresses."""

    async def counted() -> bytes:
        return await reader.readexactly((await reader.readexactly(1))[0])

    assert await reader.readexactly(1) == b"\x05"
    assert 2 in await counted()
    writer.write(b"\x05\x02")
    await reader.readexactly(1)
    proxy.shown.append(b":".join([await counted(), await counted()]).decode())
    writer.write(b"\x01\x00")
    *_, kind = await reader.readexactly(4)
    host = (await counted()).decode() if kind == 3 else str(IPv4Address(await reader.readexactly(4)))
    proxy.asked.append(f"{host}:{int.from_bytes(await reader.readexactly(2))}")
    writer.write(b"\x05\x00\x00\x01" + bytes(6))


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
