"""Open a door of the registry for a short time: its API or a tunnel, on a port that the system chooses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kube_registry.kube.client import KubeClient, open_client
from kube_registry.lease.lease import Lease, lease_held
from kube_registry.registry.api import RegistryClient, open_registry
from kube_registry.registry.bucket import bucket_named
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.tunnel.listener import Tunnel, open_tunnel


@asynccontextmanager
async def open_door(kube: KubeClient, lease: Lease | None) -> AsyncIterator[RegistryClient]:
    """Open a client of the registry through a tunnel.

    Args:
        kube: client of the registry's cluster.
        lease: the lease for the write door; None for the read door.

    Raises:
        BucketError: a request failed because the registry cannot use its bucket.
        LeaseLostError: the lease is no longer held.
        TunnelError: the registry did not answer through the tunnel.
        TunnelForbiddenError: a permission is missing.
    """
    async with (
        open_tunnel(kube, 0, lease) as tunnel,
        bucket_named(kube),
        open_registry(tunnel.address, kube.where) as registry,
    ):
        yield registry


@asynccontextmanager
async def open_write_door(
    address: ClusterAddress, doing: str, say: Callable[[str], None]
) -> AsyncIterator[tuple[KubeClient, Tunnel]]:
    """Open a tunnel to the write door, and share the registry's lease while it is open.

    Args:
        address: the cluster and the registry's namespace.
        doing: what this program does, shown to others that have to wait.
        say: prints a line that names the holders to wait for.

    Raises:
        LeaseHeldError: a garbage collection did not finish in time.
        TunnelError: the registry did not answer through the tunnel.
        ForbiddenError: a permission is missing.
    """
    async with (
        open_client(address) as kube,
        lease_held(kube, doing, alone=False, say=say) as lease,
        open_tunnel(kube, 0, lease) as tunnel,
    ):
        yield kube, tunnel
