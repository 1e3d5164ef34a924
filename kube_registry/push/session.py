"""The live half of a push path: the registry waited for, and the tunnel by which the Docker daemon pushes.

push_path.py imports it when it is first needed: what talks to the registry and to Docker takes time to import, and no
preview needs it.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from kube_registry.docker_daemon.config_copy import config_copy
from kube_registry.docker_daemon.reach import daemon_reaching
from kube_registry.errors import ClusterError, KubeRegistryError
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.lease.lease import lease_held
from kube_registry.limits import LEASE_SECONDS, PREFLIGHT_SECONDS, READY_SECONDS, TUNNEL_SECONDS
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.preflight.errors import PreflightError, PreflightToldError
from kube_registry.preflight.preflight import prove_nodes
from kube_registry.registry.api import open_registry
from kube_registry.registry.errors import ContentMissingError, RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.registry.probe_image import TAG, store_probe
from kube_registry.registry.read_back import missing_content
from kube_registry.registry.readiness import wait_node_proxy_ready, wait_ready
from kube_registry.registry.volume import ask_write_door, prove_writable
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.phases import Phase, Say
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import until
from kube_registry.tunnel.listener import Tunnel, open_tunnel


class PushSession:
    """One registry as a push needs it; its tunnel is opened and closed as often as something is pushed.

    Args:
        settings: the registry.
        docker: as `PushPath` takes it.
        docker_config: likewise.
        remark: is called with a line about the nodes that a person should read after the run.
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
        self._nodes_can_pull = not settings.preflight
        self._told: PreflightToldError | None = None

    @property
    def tunnel(self) -> Tunnel:
        """The tunnel, while somebody holds it."""
        assert self._tunnel  # noqa: S101 - whoever asks holds it
        return self._tunnel

    @property
    def trouble(self) -> KubeRegistryError | None:
        """Why connections through the tunnel have failed, if they have."""
        return self._tunnel.trouble if self._tunnel else None

    async def wait_ready(self, say: Say) -> None:
        """Return once the registry runs, and the node proxy if there is one.

        Raises:
            ClusterError: it does not, its volume cannot be written, or the cluster cannot be asked.
        """
        say(Phase.REGISTRY, f"waiting for the registry to run, {until(READY_SECONDS)}")
        deadline = time.monotonic() + READY_SECONDS
        async with open_client(self._settings) as kube:
            await wait_ready(kube, seconds=READY_SECONDS)
            if self._settings.has_node_proxy:
                left = deadline - time.monotonic()
                say(Phase.REGISTRY, f"waiting for the node proxy to listen on every node, {until(left)}")
                await wait_node_proxy_ready(kube, self._settings.node_proxy_namespace, seconds=left)
            await _ask_write_door(kube, say)

    async def open(self, say: Say) -> bool:
        """Open the tunnel if it is not open, or not any more; return whether it was opened.

        Raises:
            ClusterError: no tunnel to the registry, it is in use by somebody who must have it alone, its volume cannot
                be written, or nodes cannot pull; their table is in the first error only.
        """
        if self._told:
            raise self._told
        if self._tunnel and self._tunnel.is_open():
            return False
        await self.close()
        async with AsyncExitStack() as opening:
            self._tunnel = await self._enter(opening, partial(say, Phase.PREFLIGHT))
            self._open = opening.pop_all()
        return True

    async def close(self) -> None:
        """Close the tunnel, if it is open."""
        self._tunnel = None
        await self._open.aclose()

    async def prove_writable(self) -> None:
        """Return once the registry has answered through the tunnel again, and written to its volume."""
        await self.tunnel.prove()
        await prove_writable(self.tunnel.kube, self.tunnel.address)

    async def tagged(self, push_name: str) -> str | None:
        """Return the digest of what a tag names in the registry; None if it names nothing."""
        image = parse_reference(push_name)
        async with open_registry(self.tunnel.address, self.tunnel.kube.where) as registry:
            return await registry.tagged(image.repository, str(image.tag))

    async def prove_whole(self, repository: str, digest: str, urn: str) -> None:
        """Return once the registry has given back all of an image.

        Args:
            repository: the image's.
            digest: of its manifest.
            urn: of the resource that has pushed it.

        Raises:
            ContentMissingError: something is missing, though the daemon says that it is there.
            ClusterError: the registry does not answer.
        """
        await self.tunnel.prove()  # a pod that is just replaced is no loss
        async with open_registry(self.tunnel.address, self.tunnel.kube.where) as registry:
            if missing := await missing_content(registry, repository, digest):
                reference = f"{repository}@{digest}"
                raise ContentMissingError(where=registry.where, reference=reference, missing=tuple(missing), urn=urn)

    async def _enter(self, opening: AsyncExitStack, say: Callable[[str], None]) -> Tunnel:
        """Enter all that a push needs, one after the other."""
        kube = await opening.enter_async_context(open_client(self._settings))
        patient = kube.until(time.monotonic() + LEASE_SECONDS)  # it has answered: if it does not now, it starts anew
        lease = await opening.enter_async_context(lease_held(patient, "pulumi up", alone=False, say=say))
        say(f"waiting for an answer on {self._settings.endpoints.push_address}, {until(TUNNEL_SECONDS)}")
        opened = open_tunnel(kube, self._settings.push_port, lease)
        tunnel = await opening.enter_async_context(opened)
        await prove_writable(kube, tunnel.address)
        if not self._nodes_can_pull:
            await self._prove_nodes(tunnel, say)
        if self._docker is not None:
            await opening.enter_async_context(await self._daemon_reaching(tunnel, self._docker, say))
        home = Path.home()
        if self._docker_config is not None and not opening.enter_context(config_copy(home, self._docker_config)):
            say(f"{home}/config.json cannot be written, so this builds without any login")
        return tunnel

    async def _prove_nodes(self, tunnel: Tunnel, say: Callable[[str], None]) -> None:
        """Ask the nodes once, before the first push."""
        say(f"waiting for every node to pull from {self._settings.endpoints.pull_host}, {until(PREFLIGHT_SECONDS)}")
        try:
            patient = tunnel.kube.until(time.monotonic() + PREFLIGHT_SECONDS)
            await prove_nodes(patient, self._settings, tunnel.address, self._remark)
        except PreflightError as error:
            self._told = PreflightToldError(where=error.where, failing=error.failing)
            raise
        self._nodes_can_pull = True

    async def _daemon_reaching(
        self, tunnel: Tunnel, docker: Mapping[str, str], say: Callable[[str], None]
    ) -> AbstractAsyncContextManager[None]:
        """A block in which the Docker daemon reaches the push address."""
        async with open_registry(tunnel.address, tunnel.kube.where) as registry:
            stored = await registry.tagged(PROBE_REPOSITORY, TAG)
            digest = stored or await store_probe(registry, self._settings.platform)
        address = self._settings.endpoints.push_address
        say(f"waiting for the Docker daemon to reach {address}")
        return daemon_reaching(
            docker, address, digest, say, tunnel.break_off, recovered=tunnel.recovered, where=tunnel.kube.where
        )


async def _ask_write_door(kube: KubeClient, say: Say) -> None:
    """Have the registry write, if it can be asked: an update that pushes nothing waits for no collection."""
    try:
        await ask_write_door(kube)
    except ClusterError as error:
        answered = isinstance(error, RegistryError) and error.status is not None
        if answered or isinstance(error, VolumeFullError | VolumeNotWritableError):
            raise
        say(Phase.REGISTRY, f"whether the registry can write to its volume is asked again before a push: {error}")
