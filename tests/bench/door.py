"""A port-forward to the registry's write door that is already open: the baseline pushes through it.

A connection that comes before there is a registry waits in the listener's queue, so nothing is slept away.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from kube_registry.concurrency import poll
from kube_registry.kube.client import open_client
from kube_registry.kube.pods import choose, registry_pods
from kube_registry.lease.lease import lease_held
from kube_registry.spec.settings import Settings
from kube_registry.tunnel.listener import Tunnel
from kube_registry.tunnel.local_end import LocalEnd
from lab.errors import LabError

T = TypeVar("T")

READY_SECONDS = 60.0
"""How long the registry may take, from the first connection on."""

_PAUSE = 0.1


def with_open_door(settings: Settings, work: Callable[[], T]) -> T:
    """Do some work while the stack's push port leads to its registry, which may come to be on the way."""
    return asyncio.run(_with_open_door(settings, work))


async def _with_open_door(settings: Settings, work: Callable[[], T]) -> T:
    with socket.create_server(("127.0.0.1", settings.push_port)) as listener:
        listener.settimeout(0)
        serving = asyncio.create_task(_serve(settings, listener))
        try:
            return await asyncio.to_thread(work)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    await _first_connection(listener)
    async with open_client(settings) as kube:

        async def ready() -> str | None:
            return choose(await registry_pods(kube))

        if not await poll(ready, seconds=READY_SECONDS, pause=_PAUSE):
            raise LabError(f"The registry was not ready {READY_SECONDS:.0f} s after the first connection to it.")
        async with lease_held(kube, "a bench", alone=False, say=print) as lease:
            tunnel = Tunnel(kube, settings.push_port, lease)
            try:
                loop = asyncio.get_running_loop()
                async with await loop.create_server(lambda: LocalEnd(tunnel.serve), sock=listener) as server:
                    await server.serve_forever()
            finally:
                await tunnel.end_connections()


async def _first_connection(listener: socket.socket) -> None:
    """Return when somebody waits to be accepted."""
    loop, knocked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listener, knocked.set)
    try:
        await knocked.wait()
    finally:
        loop.remove_reader(listener)
