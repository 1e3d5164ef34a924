"""The push path: everything that has to hold before the Docker daemon can push, and its end afterwards.

Its verbs are what Pulumi's hooks call, once for each image; all of them may be called again without harm. The
images that push are its holders: the first opens the tunnel, the last closes it.

What talks to the cluster is imported when it is first asked: a second that a preview does not spend.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kube_registry.errors import ClusterError, KubeRegistryError
from kube_registry.limits import LEASE_SECONDS, PREFLIGHT_SECONDS, PUSH_TRIES, READY_SECONDS, TUNNEL_SECONDS
from kube_registry.preflight.errors import PreflightError, PreflightToldError
from kube_registry.registry.errors import ContentMissingError, RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.phases import Phase, Say
from kube_registry.spec.settings import Settings
from kube_registry.text import until

if TYPE_CHECKING:
    from kube_registry.kube.client import KubeClient
    from kube_registry.registry.api import RegistryClient
    from kube_registry.tunnel.listener import Tunnel


class PushPath:
    """The way from this machine to one stack's registry, shared by all that push in one run.

    Args:
        settings: the stack; nothing is opened before the first verb.
        docker: environment that names the Docker daemon which is going to push; None where none is.
        docker_config: what the docker provider is to find as config.json in the home folder while images are pushed;
            None where it reads Docker's own.

    Attributes:
        remarks: lines about the nodes that a person should read after the run.
    """

    def __init__(
        self,
        settings: Settings,
        docker: Mapping[str, str] | None = None,
        docker_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self._docker = docker
        self._docker_config = docker_config
        self._lock = asyncio.Lock()
        self._verdict: KubeRegistryError | bool | None = None
        self._holders: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._open = AsyncExitStack()
        self._tunnel: Tunnel | None = None
        self._nodes_can_pull = not settings.preflight
        self._told: PreflightToldError | None = None
        self.remarks: list[str] = []
        self._named_before: dict[str, str | None] = {}

    async def ready(self, say: Say) -> None:
        """Return once the registry runs, and the node proxy if there is one; asked once, then known for the run.

        Raises:
            ClusterError: it does not, its volume cannot be written, or the cluster cannot be asked.
        """
        async with self._lock:
            await self._prove_ready(say)

    async def take(self, holder: str, say: Say, push_name: str | None = None) -> None:
        """Hold the tunnel, opening it if nobody holds it yet.

        Args:
            holder: who pushes.
            say: told of every wait.
            push_name: what is going to be pushed; what its tag names until then is remembered for `read_back`.

        Raises:
            ClusterError: registry not ready, no tunnel to it, in use by somebody who bears nobody beside, a volume
                that cannot be written, or nodes that cannot pull; their table is for the first.
        """
        async with self._lock:
            await self._prove_ready(say)
            if self._told:
                raise self._told
            await self._have_tunnel(say)
            self._holders.add(holder)
        if push_name:
            with suppress(KubeRegistryError):  # to know it is good for one remark, and no reason to build nothing
                self._named_before[holder] = await self._tagged(push_name)

    async def read_back(self, holder: str, push_name: str, pushed: str, say: Say) -> str | None:
        """Return once the registry has given back all that was just pushed: manifest, config, length of every layer.

        Args:
            holder: who has pushed it.
            push_name: the name that it was pushed by.
            pushed: repository and digest, as the daemon had them from the registry.
            say: told what is done.

        Returns:
            What a person should know of it, if there is something.

        Raises:
            ContentMissingError: something is missing, though the daemon says that it is there.
            RegistryError: the registry does not answer.
            ClusterError: the lease was lost meanwhile, and no other tunnel can be opened.
        """
        from kube_registry.registry.read_back import missing_content  # noqa: PLC0415 - see the module's docstring

        image, was = parse_reference(pushed), self._named_before.pop(holder, None)
        digest = str(image.digest)
        say(Phase.READING_BACK, "reading the image back")
        async with self._lock:
            await self._have_tunnel(say)
        await self._held_tunnel.prove(TUNNEL_SECONDS)  # a pod that is just replaced is no loss
        async with self._registry() as registry:
            if missing := await missing_content(registry, image.repository, digest):
                reference = f"{image.repository}@{digest}"
                raise ContentMissingError(where=registry.where, reference=reference, missing=tuple(missing), urn=holder)
        if was in (None, digest):
            return None
        tag = parse_reference(push_name).tag
        return f"{image.repository}:{tag} named {was} before; the same files, built anew, are {digest}"

    async def recover(self, holder: str, say: Say) -> bool:
        """Whether a push that failed is to be tried again; then the registry answers through the tunnel once more."""
        async with self._lock:
            self._tries[holder] += 1
            if self._tries[holder] >= PUSH_TRIES:
                return False
            self._verdict = None
            if self._tunnel and self._tunnel.trouble:
                say(Phase.BUILD, str(self._tunnel.trouble))
            try:
                await self._prove_ready(say)
                if not await self._have_tunnel(say):
                    await self._held_tunnel.prove(TUNNEL_SECONDS)
                    await self._prove_writable(self._held_tunnel)
            except KubeRegistryError as error:
                say(Phase.BUILD, str(error))
                return False
            self._holders.add(holder)
            say(Phase.BUILD, f"the registry answers; pushing again, try {self._tries[holder] + 1} of {PUSH_TRIES}")
            return True

    async def give_back(self, holder: str) -> None:
        """Hold the tunnel no longer; the last holder closes it."""
        async with self._lock:
            self._holders.discard(holder)
            if not self._holders:
                await self._close_tunnel()

    async def _prove_ready(self, say: Say) -> None:
        """Ask once; what failed for one image fails for the next at once."""
        if self._verdict is None:
            try:
                await self._wait_ready(say)
                self._verdict = True
            except KubeRegistryError as error:
                self._verdict = error
        if isinstance(self._verdict, KubeRegistryError):
            raise self._verdict

    async def _wait_ready(self, say: Say) -> None:
        from kube_registry.kube.client import open_client  # noqa: PLC0415 - see the module's docstring
        from kube_registry.registry.readiness import wait_proxy_ready, wait_ready  # noqa: PLC0415

        say(Phase.REGISTRY, f"waiting for the registry to run, {until(READY_SECONDS)}")
        deadline = time.monotonic() + READY_SECONDS
        async with open_client(self._settings) as kube:
            await wait_ready(kube, seconds=READY_SECONDS)
            if self._settings.has_node_proxy:
                left = deadline - time.monotonic()
                say(Phase.REGISTRY, f"waiting for the node proxy to listen on every node, {until(left)}")
                await wait_proxy_ready(kube, self._settings.proxy_namespace, seconds=left)
            await self._ask_write_door(kube, say)

    async def _ask_write_door(self, kube: "KubeClient", say: Say) -> None:
        """Have the registry write, if it can be asked: an update that pushes nothing waits for no collection."""
        from kube_registry.registry.volume import ask_write_door  # noqa: PLC0415 - see the module's docstring

        try:
            await ask_write_door(kube)
        except (VolumeFullError, VolumeNotWritableError):
            raise
        except ClusterError as error:
            if isinstance(error, RegistryError) and error.status is not None:
                raise
            say(Phase.REGISTRY, f"whether the registry can write to its volume is asked again before a push: {error}")

    async def _have_tunnel(self, say: Say) -> bool:
        """Open the tunnel if it is not open, or not any more; whether it was."""
        if self._tunnel and not self._tunnel.is_open():
            await self._close_tunnel()
        if self._tunnel:
            return False
        await self._open_tunnel(partial(say, Phase.PREFLIGHT))
        return True

    async def _close_tunnel(self) -> None:
        self._tunnel = None
        await self._open.aclose()

    async def _open_tunnel(self, say: Callable[[str], None]) -> None:
        from kube_registry.docker_daemon.config_copy import config_copy  # noqa: PLC0415 - see the module's docstring
        from kube_registry.kube.client import open_client  # noqa: PLC0415
        from kube_registry.lease.lease import lease_held  # noqa: PLC0415
        from kube_registry.tunnel.listener import open_tunnel  # noqa: PLC0415

        async with AsyncExitStack() as opening:
            kube = await opening.enter_async_context(open_client(self._settings))
            patient = kube.until(
                time.monotonic() + LEASE_SECONDS
            )  # it has answered: if it does not now, it starts anew
            lease = await opening.enter_async_context(lease_held(patient, "pulumi up", alone=False, say=say))
            say(f"waiting for an answer on {self._settings.endpoints.push_address}, {until(TUNNEL_SECONDS)}")
            opened = open_tunnel(kube, self._settings.push_port, lease, seconds=TUNNEL_SECONDS)
            tunnel = await opening.enter_async_context(opened)
            await self._prove_writable(tunnel)
            await self._prove_nodes(tunnel, say)
            if self._docker is not None:
                reaching = await self._daemon_reaching(tunnel, self._docker, say)
                await opening.enter_async_context(reaching)
            if self._docker_config is not None and not opening.enter_context(
                config_copy(Path.home(), self._docker_config)
            ):
                say(f"{Path.home()}/config.json cannot be written, so this builds without any login")
            self._tunnel = tunnel
            self._open = opening.pop_all()

    async def _daemon_reaching(
        self, tunnel: "Tunnel", docker: Mapping[str, str], say: Callable[[str], None]
    ) -> AbstractAsyncContextManager[None]:
        from kube_registry.docker_daemon.reach import daemon_reaching  # noqa: PLC0415
        from kube_registry.names import PROBE_REPOSITORY as REPOSITORY  # noqa: PLC0415 - see the module's docstring
        from kube_registry.registry.api import open_registry  # noqa: PLC0415
        from kube_registry.registry.probe_image import TAG, store_probe  # noqa: PLC0415 - see the module's docstring

        async with open_registry(tunnel.address, tunnel.kube.where) as registry:
            stored = await registry.tagged(REPOSITORY, TAG)
            digest = stored or await store_probe(registry, self._settings.platform)
        say(f"waiting for the Docker daemon to reach {self._settings.endpoints.push_address}")
        push_address, stack = self._settings.endpoints.push_address, self._settings.stack
        recovered = partial(tunnel.recovered, TUNNEL_SECONDS)
        return daemon_reaching(docker, push_address, digest, say, tunnel.break_off, recovered=recovered, stack=stack)

    async def _tagged(self, push_name: str) -> str | None:
        """Digest of what a tag names in the registry; None if it names nothing."""
        image = parse_reference(push_name)
        async with self._registry() as registry:
            return await registry.tagged(image.repository, str(image.tag))

    @asynccontextmanager
    async def _registry(self) -> AsyncIterator["RegistryClient"]:
        """The registry as the tunnel that is held reaches it."""
        from kube_registry.registry.api import open_registry  # noqa: PLC0415 - see the module's docstring

        tunnel = self._held_tunnel
        async with open_registry(tunnel.address, tunnel.kube.where) as registry:
            yield registry

    @property
    def _held_tunnel(self) -> "Tunnel":
        assert self._tunnel  # noqa: S101 - whoever asks holds it
        return self._tunnel

    async def _prove_writable(self, tunnel: "Tunnel") -> None:
        from kube_registry.registry.volume import prove_writable  # noqa: PLC0415 - see the module's docstring

        await prove_writable(tunnel.kube, tunnel.address)

    async def _prove_nodes(self, tunnel: "Tunnel", say: Callable[[str], None]) -> None:
        """Ask the nodes once, before the first push."""
        from kube_registry.preflight.preflight import prove_nodes  # noqa: PLC0415 - see the module's docstring

        if self._nodes_can_pull:
            return
        pull_host = self._settings.endpoints.pull_host
        say(f"waiting for every node to pull from {pull_host}, {until(PREFLIGHT_SECONDS)}")
        try:
            patient = tunnel.kube.until(time.monotonic() + PREFLIGHT_SECONDS)
            await prove_nodes(patient, self._settings, tunnel.address, self.remarks.append)
        except PreflightError as error:
            self._told = PreflightToldError(where=error.where, failing=error.failing)
            raise
        self._nodes_can_pull = True
