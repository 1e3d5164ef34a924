"""A fake API server on loopback that speaks the real protocol, and whose answers and node a test chooses."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from kube_registry.names import selector
from kube_registry.spec.settings import Settings
from kube_registry.tunnel.frames import PROTOCOL
from lab import pki
from tests.fakes import fake_node
from tests.fakes.fake_node import Forward, Node

NAMESPACE = "kube-registry"
KUBE_CONTEXT = "fake"

LONG_AGO = "2026-01-01T00:00:00Z"

RESET = 0
"""Stands for a status: the connection is cut in place of an answer."""


@dataclass(frozen=True)
class FakePod:
    """A pod of the registry.

    Attributes:
        name: its name.
        target: where its write door really listens, on 127.0.0.1.
        ready: whether it is Ready.
        containers_ready: whether its containers are; the kubelet says both, a lost node neither.
        leaving: whether it is on its way out.
    """

    name: str
    target: int
    ready: bool = True
    leaving: bool = False
    containers_ready: bool = True

    def as_json(self) -> dict[str, Any]:
        """The pod as the API server shows it, as far as anybody looks."""
        leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if self.leaving else {}
        conditions = [{"type": "Ready", "status": "True" if self.ready else "False"}]
        containers = [{"name": "write", "ready": self.containers_ready, "state": {"running": {}}}]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": containers}
        return {"metadata": {"name": self.name, **leaving}, "status": status}


@dataclass(frozen=True)
class Refusal:
    """An answer other than the one asked for.

    Attributes:
        status: the HTTP status.
        words: the message of the Status object in its body; None for no such object.
        body: the body in its place.
        retry_after: header of that name; empty for none.
    """

    status: int
    words: str | None = None
    body: str = ""
    retry_after: str = ""

    def response(self) -> web.Response:
        """The answer itself."""
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        if self.words is None:
            return web.Response(status=self.status, headers=headers, text=self.body)
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": self.words, "code": self.status}
        return web.json_response(body, status=self.status, headers=headers)


@dataclass
class FakeApi:
    """The server; a test changes what it likes, whenever it likes.

    Attributes:
        server: its URL.
        pods: what there is.
        node: what becomes of an upgraded forward.
        subprotocol: what an upgrade answers with, or None for no subprotocol at all.
        refusals: what the next requests for a forward or a program are refused with, one each.
        list_refusals: the same for requests for the list of pods.
        deaf: whether every request waits for ever.
        looks: how often the list of pods was asked for.
        lease: the registry's Lease, or None.
        lease_looks: how often that was asked for.
        lease_answers: the statuses, or RESET, that the next changes of it answer with, which are made all the same.
        lease_conflicts: for each next change of it, whether another writes first.
        lease_seconds: how long each request for it takes.
        program: what becomes of a program that is to run in a pod.
        upgrades: the pods to which a forward was asked for, refused ones too.
        list_ports: the client's port of each request for the list of pods.
        upgrade_ports: the same of each request for a forward.
    """

    server: str
    pods: list[FakePod] = field(default_factory=list)
    node: Node = fake_node.well
    subprotocol: str | None = PROTOCOL
    refusals: Iterator[Refusal] = field(default_factory=lambda: iter([]))
    list_refusals: Iterator[Refusal] = field(default_factory=lambda: iter([]))
    deaf: bool = False
    looks: int = 0
    lease: dict[str, Any] | None = None
    lease_looks: int = 0
    lease_answers: Iterator[int] = field(default_factory=lambda: iter([]))
    lease_conflicts: Iterator[bool] = field(default_factory=lambda: iter([]))
    lease_seconds: float = 0.0
    program: Callable[[web.WebSocketResponse, list[str]], Awaitable[None]] | None = None
    upgrades: list[str] = field(default_factory=list)
    list_ports: list[int] = field(default_factory=list)
    upgrade_ports: list[int] = field(default_factory=list)
    _version: int = 100

    async def list_pods(self, request: web.Request) -> web.StreamResponse:
        self.looks += 1
        self.list_ports.append(_port(request))
        if self.deaf:
            await asyncio.Event().wait()
        if refusal := next(self.list_refusals, None):
            return refusal.response()
        assert request.query["labelSelector"] == selector("registry")
        return web.json_response({"kind": "PodList", "items": [pod.as_json() for pod in self.pods]})

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["pod"]
        upgrade = request.headers.get("Upgrade") == "websocket"
        if upgrade:
            self.upgrades.append(name)
            self.upgrade_ports.append(_port(request))
        if self.deaf:
            await asyncio.Event().wait()
        if refusal := next(self.refusals, None):
            return refusal.response()
        if not upgrade:
            return Refusal(HTTPStatus.BAD_REQUEST, "Upgrade request required").response()
        if request.headers["Sec-WebSocket-Protocol"] != PROTOCOL:
            return Refusal(HTTPStatus.FORBIDDEN).response()
        pod = next((pod for pod in self.pods if pod.name == name), None)
        if pod is None:
            return Refusal(HTTPStatus.NOT_FOUND, f'pods "{name}" not found').response()
        ws = web.WebSocketResponse(protocols=[PROTOCOL] if self.subprotocol == PROTOCOL else [], compress=False)
        if self.subprotocol:
            ws.headers["Sec-WebSocket-Protocol"] = self.subprotocol
        await ws.prepare(request)
        assert request.transport is not None
        await self.node(Forward(ws, request.transport, name, int(request.query["ports"]), pod.target))
        return ws

    async def exec(self, request: web.Request) -> web.StreamResponse:
        if refusal := next(self.refusals, None):
            return refusal.response()
        ws = web.WebSocketResponse(protocols=[PROTOCOL] if self.subprotocol == PROTOCOL else [], compress=False)
        if self.subprotocol:
            ws.headers["Sec-WebSocket-Protocol"] = self.subprotocol
        await ws.prepare(request)
        assert self.program
        await self.program(ws, request.query.getall("command"))
        return ws

    async def get_lease(self, _: web.Request) -> web.StreamResponse:
        self.lease_looks += 1
        await asyncio.sleep(self.lease_seconds)
        return web.json_response(self.lease) if self.lease else Refusal(HTTPStatus.NOT_FOUND).response()

    async def put_lease(self, request: web.Request) -> web.StreamResponse:
        lease = await request.json()
        await asyncio.sleep(self.lease_seconds)
        if next(self.lease_conflicts, False) and self.lease:
            self.hold_lease(**self.holders)
        before, known = lease["metadata"].get("resourceVersion"), (self.lease or {"metadata": {}})["metadata"]
        if before != known.get("resourceVersion"):
            return Refusal(HTTPStatus.CONFLICT, "the object has been modified").response()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lease["metadata"]["resourceVersion"] = self.new_version()
        lease["metadata"]["creationTimestamp"] = known.get("creationTimestamp", LONG_AGO if known else now)
        lease["metadata"]["managedFields"] = [{"operation": "Update", "time": now}]
        self.lease = lease
        status = next(self.lease_answers, None)
        if status == RESET:
            assert request.transport
            request.transport.abort()
        elif status:
            return Refusal(status).response()
        return web.json_response(lease)

    def hold_lease(self, **entries: dict[str, Any]) -> None:
        """Have the lease list these entries and no others."""
        known = (self.lease or {"metadata": {}})["metadata"]
        annotations = {"kube-registry/holders": json.dumps(entries)}
        created = known.get("creationTimestamp", LONG_AGO)
        metadata = {"annotations": annotations, "resourceVersion": self.new_version(), "creationTimestamp": created}
        self.lease = {"metadata": metadata}

    def new_version(self) -> str:
        """Return a resourceVersion that no object has had, of a Lease made again neither."""
        self._version += 1
        return str(self._version)

    @property
    def holders(self) -> dict[str, Any]:
        """The entries of the lease."""
        assert self.lease
        entries: dict[str, Any] = json.loads(self.lease["metadata"]["annotations"]["kube-registry/holders"])
        return entries

    @property
    def host(self) -> str:
        """The URL with nothing but host and port."""
        return self.server.split("//")[1]


@asynccontextmanager
async def run_fake_api(authority: pki.Authority | None = None) -> AsyncIterator[FakeApi]:
    """A running one, over TLS if there is an authority to sign its certificate."""
    api = FakeApi("")
    app = web.Application()
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    port_forward = f"{pods}/{{pod}}/portforward"
    app.add_routes([web.get(pods, api.list_pods), web.get(f"{pods}/{{pod}}/exec", api.exec)])
    app.add_routes([web.get(port_forward, api.port_forward), web.post(port_forward, api.port_forward)])
    app.add_routes([web.get(f"{leases}/registry", api.get_lease), web.put(f"{leases}/registry", api.put_lease)])
    app.add_routes([web.post(leases, api.put_lease)])
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_tls(authority) if authority else None).start()
        api.server = f"http{'s' if authority else ''}://127.0.0.1:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()


def settings_for(server: str, authority: pki.Authority, folder: Path) -> Settings:
    """Settings whose kubeconfig, written into the folder, leads to that server and trusts that authority."""
    file = folder / "kubeconfig"
    file.write_text(pki.kubeconfig(authority, pki.issue(authority, "me"), server=server, kube_context=KUBE_CONTEXT))
    config = {"kubeContext": KUBE_CONTEXT, "kubeconfig": str(file), "namespace": NAMESPACE, "images": {"app": {}}}
    return Settings.parse(config, project="kube-registry", stack="dev")


def _port(request: web.Request) -> int:
    assert request.transport is not None
    return int(request.transport.get_extra_info("peername")[1])


def _tls(authority: pki.Authority) -> ssl.SSLContext:
    identity = pki.issue(authority, "api", addresses=["127.0.0.1"])
    file = authority.folder / "api.pem"
    pki.write_secret(file, identity.key + identity.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
