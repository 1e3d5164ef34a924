"""A door of the registry for a moment: its API, through a tunnel of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster.kube import KubeClient
from cluster.lease import Lease
from cluster.push import ANSWER_SECONDS
from cluster.registry import RegistryClient, open_registry
from cluster.tunnel import open_tunnel


@asynccontextmanager
async def open_door(kube: KubeClient, lease: Lease | None) -> AsyncIterator[RegistryClient]:
    """Open a client of the registry on a port that the system chooses.

    Args:
        kube: client of the registry's cluster.
        lease: the lease under which it may write; None for the read door.

    Raises:
        LeaseLostError: the lease is not held any more.
        TunnelError: the registry did not answer through the tunnel.
        TunnelForbiddenError: a right is missing.
    """
    async with (
        open_tunnel(kube, 0, lease, seconds=ANSWER_SECONDS) as tunnel,
        open_registry(tunnel.address, kube.where) as registry,
    ):
        yield registry
