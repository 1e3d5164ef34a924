"""The connections of a push path: wait for the registry, and open the tunnel through which the Docker daemon pushes.

push_path.py imports this file on first use, because the clients of the registry and of Docker take time to import, and
a preview does not need them.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kube_registry.docker_daemon.config_copy import config_copy
from kube_registry.errors import ClusterError, KubeRegistryError
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.lease.lease import lease_held
from kube_registry.limits import LEASE_SECONDS, PREFLIGHT_SECONDS, READY_SECONDS, TUNNEL_SECONDS
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.preflight.errors import PreflightError, PreflightReportedError
from kube_registry.preflight.exposure import prove_without_node_proxy
from kube_registry.preflight.preflight import prove_nodes
from kube_registry.registry.api import open_registry
from kube_registry.registry.errors import (
    BucketError,
    ContentMissingError,
    RegistryError,
    VolumeFullError,
    VolumeNotWritableError,
)
from kube_registry.registry.probe_image import TAG, store_probe
from kube_registry.registry.read_back import missing_content
from kube_registry.registry.readiness import wait_node_proxy_ready, wait_ready
from kube_registry.registry.volume import ask_write_door, prove_writable
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.phases import Phase, Say
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import until
from kube_registry.tunnel.listener import Tunnel, open_tunnel

if TYPE_CHECKING:
    from kube_registry.docker_daemon.reach import ReachingDaemon


class PushSession:
    """The connections to one registry; the tunnel may be opened and closed several times.

    Args:
        settings: the registry.
        docker: as for `PushPath`.
        docker_config: as for `PushPath`.
        remark: is called with a line about nodes to show after the run.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        docker: Mapping[str, str] | None,
        docker_config: Mapping[str, Any] | None,
        remark: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._docker = docker
        self._docker_config = docker_config
        self._remark = remark
        self._open = AsyncExitStack()
        self._tunnel: Tunnel | None = None
        self._daemon: ReachingDaemon | None = None
        self._nodes_can_pull = not settings.preflight
        self._nodes_failed: PreflightReportedError | None = None

    @property
    def tunnel(self) -> Tunnel:
        """The tunnel, while it is open."""
        assert self._tunnel  # noqa: S101 - only holders of the open tunnel call this
        return self._tunnel

    @property
    def trouble(self) -> KubeRegistryError | None:
        """Why connections through the tunnel failed; None if they did not."""
        return self._tunnel.trouble if self._tunnel else None

    async def wait_ready(self, say: Say) -> None:
        """Wait until the registry is ready, and the node proxy if there is one.

        Raises:
            ClusterError: it is not ready, its volume is not writable, nodes need the node proxy that the settings no
                longer have, or the cluster cannot be reached.
        """
        say(Phase.REGISTRY, f"waiting for the registry to become ready, {until(READY_SECONDS)}")
        deadline = time.monotonic() + READY_SECONDS
        async with open_client(self._settings) as kube:
            await wait_ready(kube, seconds=READY_SECONDS)
            left = deadline - time.monotonic()
            if self._settings.has_node_proxy:
                say(Phase.REGISTRY, f"waiting for the node proxy to listen on every node, {until(left)}")
                await wait_node_proxy_ready(kube, self._settings.node_proxy_namespace, seconds=left)
            else:
                await prove_without_node_proxy(kube, self._settings, seconds=left)
            await _ask_write_door(kube, say)

    async def open(self, say: Say) -> bool:
        """Open the tunnel if it is not open; return whether it was opened.

        Raises:
            ClusterError: the registry is in exclusive use, the tunnel cannot be opened, the volume is not writable, or
                nodes cannot pull; only the first error has the table of nodes.
        """
        if self._nodes_failed:
            raise self._nodes_failed
        if self._tunnel and self._tunnel.is_open():
            return False
        await self.close()
        async with AsyncExitStack() as opening:
            self._tunnel = await self._enter(opening, partial(say, Phase.PREFLIGHT))
            self._open = opening.pop_all()
        return True

    async def close(self) -> None:
        """Close the tunnel, if it is open."""
        self._tunnel = self._daemon = None
        await self._open.aclose()

    async def prove_writable(self) -> None:
        """Wait until the registry answers through the tunnel again, and check that it can write to its volume."""
        await self.tunnel.prove()
        await prove_writable(self.tunnel.kube, self.tunnel.address)

    async def tagged(self, push_name: str) -> str | None:
        """Return the digest of a tag in the registry; None if there is no such tag."""
        image = parse_reference(push_name)
        async with open_registry(self.tunnel.address, self.tunnel.kube.where) as registry:
            return await registry.tagged(image.repository, str(image.tag))

    async def prove_whole(self, repository: str, digest: str, urn: str) -> None:
        """Check that the registry has stored all of an image.

        Args:
            repository: the image's repository.
            digest: digest of its manifest.
            urn: URN of the resource that pushed it.

        Raises:
            ContentMissingError: a part is missing, although the daemon reported success.
            ClusterError: the registry does not respond.
        """
        await self.tunnel.prove()  # wait if the pod is just being replaced
        async with open_registry(self.tunnel.address, self.tunnel.kube.where) as registry:
            if missing := await missing_content(registry, repository, digest):
                reference = f"{repository}@{digest}"
                raise ContentMissingError(where=registry.where, reference=reference, missing=tuple(missing), urn=urn)

    async def remove_local_tag(self, name: str) -> None:
        """Remove a tag from the Docker daemon, if the tunnel is open for it.

        Raises:
            LocalTagError: the daemon failed to remove it.
        """
        if self._daemon:
            await self._daemon.remove_tag(name)

    @property
    def reports_digests(self) -> bool:
        """Whether the Docker daemon reports the digest of what it has pushed; True if no daemon is known."""
        return self._daemon is None or self._daemon.reports_digests

    async def _enter(self, opening: AsyncExitStack, say: Callable[[str], None]) -> Tunnel:
        """Open everything that a push needs, one after the other."""
        kube = await opening.enter_async_context(open_client(self._settings))
        patient = kube.until(time.monotonic() + LEASE_SECONDS)  # it answered before: if not now, it is restarting
        lease = await opening.enter_async_context(lease_held(patient, "pulumi up", alone=False, say=say))
        say(f"waiting for an answer on {self._settings.endpoints.push_address}, {until(TUNNEL_SECONDS)}")
        opened = open_tunnel(kube, self._settings.push_port, lease)
        tunnel = await opening.enter_async_context(opened)
        await prove_writable(kube, tunnel.address)
        if not self._nodes_can_pull:
            await self._prove_nodes(tunnel, say)
        if self._docker is not None:
            reaching = await self._daemon_reaching(tunnel, self._docker, say)
            self._daemon = await opening.enter_async_context(reaching)
        home = Path.home()
        if self._docker_config is not None and not opening.enter_context(config_copy(home, self._docker_config)):
            say(f"{home}/config.json cannot be written, so images are built without any login")
        return tunnel

    async def _prove_nodes(self, tunnel: Tunnel, say: Callable[[str], None]) -> None:
        """Run the preflight once, before the first push."""
        say(f"waiting for every node to pull from {self._settings.endpoints.pull_host}, {until(PREFLIGHT_SECONDS)}")
        try:
            patient = tunnel.kube.until(time.monotonic() + PREFLIGHT_SECONDS)
            await prove_nodes(patient, self._settings, tunnel.address, self._remark)
        except PreflightError as error:
            self._nodes_failed = PreflightReportedError(where=error.where, failing=error.failing)
            raise
        self._nodes_can_pull = True

    async def _daemon_reaching(
        self, tunnel: Tunnel, docker: Mapping[str, str], say: Callable[[str], None]
    ) -> "AbstractAsyncContextManager[ReachingDaemon]":
        """Return a context manager in which the Docker daemon can reach the push address."""
        from kube_registry.docker_daemon.reach import daemon_reaching  # noqa: PLC0415 - slow, and only a push needs it

        async with open_registry(tunnel.address, tunnel.kube.where) as registry:
            stored = await registry.tagged(PROBE_REPOSITORY, TAG)
            digest = stored or await store_probe(registry, self._settings.platform)
        address = self._settings.endpoints.push_address
        say(f"waiting for the Docker daemon to reach {address}")
        return daemon_reaching(
            docker, address, digest, say, tunnel.break_off, recovered=tunnel.recovered, where=tunnel.kube.where
        )


async def _ask_write_door(kube: KubeClient, say: Say) -> None:
    """Check that the registry can write, if possible at once: an update without a push waits for no collection."""
    try:
        await ask_write_door(kube)
    except ClusterError as error:
        answered = isinstance(error, RegistryError) and error.status is not None
        if answered or isinstance(error, BucketError | VolumeFullError | VolumeNotWritableError):
            raise
        say(Phase.REGISTRY, f"the storage could not be checked now, and will be checked before a push: {error}")
