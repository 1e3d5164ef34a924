"""The push path: everything that has to hold before the Docker daemon can push, and its end afterwards.

Its verbs are what Pulumi's hooks call, once for each image; all of them may be called again without harm. The
images that push are its holders: the first opens the tunnel, the last closes it. What it asks of the cluster is in
session.py; here is only who asks, in which order and how often.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
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
    """The way from this machine to one registry, shared by all that push in one run.

    Args:
        settings: the registry; nothing is opened or read before the first verb.
        docker: environment that names the Docker daemon which is going to push; None where none is.
        docker_config: what the docker provider is to find as config.json in the home folder while images are pushed;
            None where it reads Docker's own.

    Attributes:
        remarks: lines about the nodes that a person should read after the run.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        docker: Mapping[str, str] | None = None,
        docker_config: Mapping[str, Any] | None = None,
    ) -> None:
        self._of_session = settings, docker, docker_config
        self._lock = asyncio.Lock()
        self._readiness: KubeRegistryError | bool | None = None
        self._holders: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._named_before: dict[str, str | None] = {}
        self.remarks: list[str] = []

    @cached_property
    def _session(self) -> "PushSession":
        from kube_registry.push.session import PushSession  # noqa: PLC0415 - tunnel and Docker, which no preview needs

        return PushSession(*self._of_session, self.remarks.append)

    async def ready(self, say: Say) -> None:
        """Return once the registry runs, and the node proxy if there is one; asked once, then known for the run.

        Raises:
            ClusterError: it does not, its volume cannot be written, or the cluster cannot be asked.
        """
        async with self._lock:
            await self._prove_ready(say)

    async def take(self, holder: str, say: Say, push_name: str | None = None) -> None:
        """Hold the tunnel, opening it if it is not open yet.

        Args:
            holder: who pushes.
            say: shows every wait.
            push_name: what is going to be pushed; what its tag names until then is remembered for `read_back`.

        Raises:
            ClusterError: registry not ready, no tunnel to it, in use by somebody who must have it alone, a volume that
                cannot be written, or nodes that cannot pull; their table is in the first error only.
        """
        async with self._lock:
            await self._prove_ready(say)
            await self._session.open(say)
            self._holders.add(holder)
        if push_name:
            with suppress(KubeRegistryError):  # to know it is good for one remark, and no reason to build nothing
                self._named_before[holder] = await self._session.tagged(push_name)

    async def read_back(self, holder: str, push_name: str, pushed: str, say: Say) -> str | None:
        """Return once the registry has given back all that was just pushed: manifest, config, length of every layer.

        Args:
            holder: who has pushed it.
            push_name: the name that it was pushed by.
            pushed: repository and digest, as the daemon had them from the registry.
            say: shows what is done.

        Returns:
            What a person should know of it, if there is something.

        Raises:
            ContentMissingError: something is missing, though the daemon says that it is there.
            RegistryError: the registry does not answer.
            ClusterError: the lease was lost meanwhile, and no other tunnel can be opened.
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
        return f"{image.repository}:{tag} named {was} before; the same files, built anew, are {digest}"

    async def recover(self, holder: str, say: Say) -> bool:
        """Whether a push that failed is to be tried again; then the registry answers through the tunnel once more."""
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
            say(Phase.BUILD, f"the registry answers; pushing again, try {self._tries[holder] + 1} of {PUSH_TRIES}")
            return True

    async def give_back(self, holder: str) -> None:
        """Hold the tunnel no longer; the last holder closes it."""
        async with self._lock:
            self._holders.discard(holder)
            if not self._holders:
                await self._session.close()

    async def _prove_ready(self, say: Say) -> None:
        """Ask once; what failed for one image fails for the next at once."""
        if self._readiness is None:
            try:
                await self._session.wait_ready(say)
                self._readiness = True
            except KubeRegistryError as error:
                self._readiness = error
        if isinstance(self._readiness, KubeRegistryError):
            raise self._readiness
