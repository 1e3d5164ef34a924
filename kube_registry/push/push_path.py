"""The push path: prepare everything that a push by the Docker daemon needs, and clean up afterwards.

Pulumi's hooks call its methods, once for each image; all methods are idempotent. The images that push are its holders:
the first opens the tunnel, the last closes it. This file keeps track of holders, order and retries; session.py connects
to the cluster.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kube_registry.errors import KubeRegistryError
from kube_registry.limits import PUSH_TRIES
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.phases import Phase, Say
from kube_registry.spec.settings import RegistrySettings

if TYPE_CHECKING:
    from kube_registry.push.session import PushSession


class PushPath:
    """The path from this machine to one registry, shared by all images that are pushed in one run.

    Args:
        settings: the registry; nothing is opened or read before the first method call.
        docker: environment variables that name the Docker daemon that pushes; None if nothing is pushed.
        docker_config: content of config.json in the home folder for the docker provider, while images are pushed;
            None if the provider reads Docker's own.

    Attributes:
        remarks: lines about nodes to show after the run.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        docker: Mapping[str, str] | None = None,
        docker_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._session_args = settings, docker, docker_config
        self._keep_local_tags = settings.keep_local_tags
        self._lock = asyncio.Lock()
        self._readiness: KubeRegistryError | bool | None = None
        self._holders: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._named_before: dict[str, str | None] = {}
        self.remarks: list[str] = []

    @cached_property
    def _session(self) -> "PushSession":
        from kube_registry.push.session import PushSession  # noqa: PLC0415 - slow, and not needed in a preview

        return PushSession(*self._session_args, self.remarks.append)

    @property
    def reports_digests(self) -> bool:
        """Whether the Docker daemon reports the digest of what it has pushed; known while the tunnel is open."""
        return self._session.reports_digests

    async def ready(self, say: Say) -> None:
        """Wait until the registry is ready, and the node proxy if there is one; checked once in a run.

        Args:
            say: prints each wait.

        Raises:
            ClusterError: it is not ready, its volume is not writable, or the cluster cannot be reached.
        """
        async with self._lock:
            await self._prove_ready(say)

    async def take(self, holder: str, say: Say, push_name: str | None = None) -> None:
        """Add a holder of the tunnel, and open the tunnel if it is not open yet.

        Args:
            holder: the image that pushes.
            say: prints each wait.
            push_name: name of the image to push; the current digest of its tag is stored for `read_back`.

        Raises:
            ClusterError: the registry is not ready or in exclusive use, the tunnel cannot be opened, the volume is not
                writable, or nodes cannot pull; only the first error has the table of nodes.
        """
        async with self._lock:
            await self._prove_ready(say)
            await self._session.open(say)
            self._holders.add(holder)
        if push_name:
            with suppress(KubeRegistryError):  # needed for a remark only, so a failure must not stop the build
                self._named_before[holder] = await self._session.tagged(push_name)

    async def read_back(self, holder: str, push_name: str, pushed: str, say: Say) -> str | None:
        """Check that the registry has stored all of a pushed image: manifest, config, length of every layer.

        Args:
            holder: the image that was pushed.
            push_name: the name that it was pushed by.
            pushed: repository and digest that the daemon reported.
            say: prints the progress.

        Returns:
            A remark to show, if there is one.

        Raises:
            ContentMissingError: a part is missing, although the daemon reported success.
            RegistryError: the registry did not respond.
            ClusterError: the lease was lost, and a new tunnel cannot be opened.
        """
        image, was = parse_reference(pushed), self._named_before.pop(holder, None)
        digest = str(image.digest)
        say(Phase.READING_BACK, "reading the image back")
        async with self._lock:
            await self._session.open(say)
        await self._session.prove_whole(image.repository, digest, holder)
        if was in (None, digest):
            return None
        tag = parse_reference(push_name).tag
        return f"{image.repository}:{tag} had the digest {was} before; a new build of the same files has {digest}"

    async def remove_superseded(self, before: str | None, push_names: Collection[str]) -> str | None:
        """Remove the tag of an image's previous build from the Docker daemon, unless the settings keep it.

        Args:
            before: the name that the image was pushed by before, with its tag; None if it is new.
            push_names: names that are still in use; another image may have the same tag now.

        Returns:
            A remark if the daemon failed to remove the tag, which the update does not depend on.
        """
        if before is None or before in push_names or self._keep_local_tags:
            return None
        async with self._lock:
            try:
                await self._session.remove_local_tag(before)
            except KubeRegistryError as error:
                return str(error)
        return None

    async def recover(self, holder: str, say: Say) -> bool:
        """Return whether to retry a failed push; if so, the registry answers through the tunnel again."""
        async with self._lock:
            self._tries[holder] += 1
            if self._tries[holder] >= PUSH_TRIES:
                return False
            self._readiness = None
            if trouble := self._session.trouble:
                say(Phase.BUILD, str(trouble))
            try:
                await self._prove_ready(say)
                if not await self._session.open(say):
                    await self._session.prove_writable()
            except KubeRegistryError as error:
                say(Phase.BUILD, str(error))
                return False
            self._holders.add(holder)
            say(Phase.BUILD, f"the registry answers; retrying the push, {self._tries[holder] + 1} of {PUSH_TRIES}")
            return True

    async def give_back(self, holder: str) -> None:
        """Remove a holder of the tunnel; the last one closes it."""
        async with self._lock:
            self._holders.discard(holder)
            if not self._holders:
                await self._session.close()

    async def _prove_ready(self, say: Say) -> None:
        """Check readiness once; if that failed for one image, fail at once for the next."""
        if self._readiness is None:
            try:
                await self._session.wait_ready(say)
                self._readiness = True
            except KubeRegistryError as error:
                self._readiness = error
        if isinstance(self._readiness, KubeRegistryError):
            raise self._readiness
