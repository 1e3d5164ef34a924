"""The push path while the control plane is away for a moment, as one that is restarted: no step of an update fails."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kube_registry.errors import HERE
from kube_registry.kube.client import open_client
from kube_registry.kube.pods import is_ready
from kube_registry.kube.retries import CONNECT_SECONDS
from kube_registry.names import selector
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import open_registry
from kube_registry.registry.probe_image import probe_config
from kube_registry.registry.readiness import wait_ready
from kube_registry.spec.settings import Settings
from lab import processes
from lab.cluster import known as plan_of
from tests.e2e.conftest import Lab

pytestmark = [pytest.mark.lab, pytest.mark.anyio, pytest.mark.usefixtures("deployed")]

URN = "urn:pulumi:e2e::kube-registry::docker:index/image:Image::by/hand"

AWAY_SECONDS = 2 * CONNECT_SECONDS
"""How long the API server takes no connection: more than a first request waits for a cluster that may not run."""


@asynccontextmanager
async def way_to(host: str, port: int, listen: int = 0) -> AsyncIterator[int]:
    """A port of this machine that leads to an address while the block lasts; its connections end with it."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        both = asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
        served.append((both, writer, far_writer))
        await both

    served: list[tuple[asyncio.Future[tuple[None, None]], asyncio.StreamWriter, asyncio.StreamWriter]] = []
    server = await asyncio.start_server(serve, "127.0.0.1", listen)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for both, *writers in served:
            for writer in writers:
                writer.transport.abort()
            await both


async def test_an_api_server_that_restarts_between_readiness_and_the_tunnel_does_not_fail_the_update(
    lab: Lab, settings: Settings, tmp_path: Path
) -> None:
    kubeconfig = json.loads(lab.cluster.kubeconfig.read_text())
    (cluster,) = kubeconfig["clusters"]
    address = urlsplit(cluster["cluster"]["server"])
    assert address.hostname
    assert address.port
    async with way_to(address.hostname, address.port) as listen:
        cluster["cluster"] |= {"server": f"https://127.0.0.1:{listen}", "tls-server-name": address.hostname}
        (tmp_path / "config").write_text(json.dumps(kubeconfig))
        path = PushPath(settings.model_copy(update={"kubeconfig": str(tmp_path / "config")}))
        await path.ready(lambda *_: None)
    name = settings.endpoints.push_name("by/hand", "restarted")
    async with asyncio.TaskGroup() as group:
        taken = group.create_task(path.take(URN, lambda *_: None, name))
        await asyncio.sleep(AWAY_SECONDS)  # is the fault itself
        async with way_to(address.hostname, address.port, listen):
            await taken
            try:
                async with open_registry(settings.endpoints.push_address, HERE) as registry:
                    digest = await registry.put_image("by/hand", "restarted", probe_config(settings.platform))
                await path.read_back(URN, name, f"{name.rpartition(':')[0]}@{digest}", lambda *_: None)
            finally:
                await path.give_back(URN)


async def test_a_deployment_whose_status_is_old_is_not_ready_without_a_pod(lab: Lab, settings: Settings) -> None:
    """While the controller manager is away, a registry whose pod is gone is still available by its Deployment."""
    record = plan_of(lab.cluster.name).folder / "processes" / "control-plane.kube-controller-manager.json"
    controllers = processes.recorded(record)
    assert controllers

    def ready_pods() -> int:
        pods = lab.get("pods", "--namespace", "kube-registry", "--selector", selector("registry"))
        return sum(is_ready(pod) for pod in pods)

    os.kill(controllers.pid, signal.SIGSTOP)
    try:
        lab.kubectl("delete", "pods", "--namespace", "kube-registry", "--selector", selector("registry"))
        async with open_client(settings) as kube:
            waiting = asyncio.ensure_future(wait_ready(kube, seconds=60))
            done, _ = await asyncio.wait([waiting], timeout=2)
            assert not done
            os.kill(controllers.pid, signal.SIGCONT)
            await waiting
            assert ready_pods() == 1
    finally:
        os.kill(controllers.pid, signal.SIGCONT)
