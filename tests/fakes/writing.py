"""A registry that a test writes to by hand, as a push of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kube_registry.kube.client import KubeClient, open_client
from kube_registry.lease.lease import lease_held
from kube_registry.registry.api import RegistryClient
from kube_registry.registry.door import open_door
from kube_registry.spec.settings import Settings
from kube_registry.tunnel.listener import Tunnel, open_tunnel

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
