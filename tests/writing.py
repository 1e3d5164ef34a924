"""A registry that a test writes to by hand, as a push of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster.door import open_door
from cluster.kube import KubeClient, open_client
from cluster.lease import lease_held
from cluster.registry import RegistryClient
from cluster.tunnel import Tunnel, open_tunnel
from stack.settings import Settings

PATIENCE_SECONDS = 40.0


@asynccontextmanager
async def pushing(settings: Settings) -> AsyncIterator[RegistryClient]:
    """A client of the write door."""
    async with (
        open_client(settings) as kube,
        lease_held(kube, "a test", alone=False, say=print) as lease,
        open_door(kube, lease) as registry,
    ):
        yield registry


@asynccontextmanager
async def tunnelled(settings: Settings) -> AsyncIterator[tuple[KubeClient, Tunnel]]:
    """A tunnel to the write door, on any port."""
    async with (
        open_client(settings) as kube,
        lease_held(kube, "a test", alone=False, say=print) as lease,
        open_tunnel(kube, 0, lease, seconds=PATIENCE_SECONDS) as tunnel,
    ):
        yield kube, tunnel
