"""The loop of one stack: wait for a change, update the stack, report one line."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

from kube_registry.build.hash_cache import Hashes
from kube_registry.concurrency import first_of_two, poll
from kube_registry.dev import lines
from kube_registry.dev.files import ImageSource, Snapshot, changes, deployed_files, take_snapshot
from kube_registry.dev.target import Target
from kube_registry.dev.update import Update
from kube_registry.dev.watch import Watch
from kube_registry.dev.wish import Wish
from kube_registry.dev.workloads import Pods, Workload, pod_troubles, wait_for_pods, workloads_with
from kube_registry.engine.errors import CommandError, StackLockedError
from kube_registry.engine.program import release_command
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import open_client
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.errors import SettingsError
from kube_registry.text import add_fix

REFRESH_SECONDS = 600.0
"""How long updates rely on the state before one reads all resources from the cluster again."""

LOCKED_SECONDS = 2.0
"""Pause between two attempts while another update has locked the stack."""

_AWAITED_PAUSE = 0.5

RELEASE_SECONDS = 5.0
"""How long it may take to release the lock of a killed `pulumi`."""


class Loop:
    """The loop of one stack.

    Args:
        target: the stack.
        watch: wakes the loop.
        say: prints a line, or a longer text.
        show: shows what is being done; nothing if None.

    Attributes:
        images: name -> how an image is built.
        workloads: the workloads that run the newest images.
    """

    def __init__(
        self, target: Target, watch: Watch, say: Callable[[str], object], show: Callable[[str | None], None]
    ) -> None:
        self.images: Mapping[str, ImageSource] = {}
        self.workloads: Sequence[Workload] = ()
        self._target, self._watch, self._say, self._show = target, watch, say, show
        self._woken = watch.join(target.name)
        self._wish = Wish.NOTHING
        self._address: ClusterAddress | None = None
        self._done: Snapshot | None = None
        """What the last update has deployed, or failed to deploy."""
        self._refreshed = -REFRESH_SECONDS
        self._failed = False
        self._locked = ""
        self._hashes = Hashes({})

    @property
    def name(self) -> str:
        """The name of the stack."""
        return self._target.name

    async def address(self) -> ClusterAddress:
        """Return the cluster of the stack's images.

        Raises:
            KubeRegistryError: `pulumi` cannot read it, or the stack has no image yet.
        """
        if self._address is None:
            registry = next((source.registry for source in self.images.values()), None)
            self._address = await self._target.address(registry)
        return self._address

    def ask(self, wish: Wish) -> None:
        """Update the stack even if no file has changed."""
        self._wish |= wish
        self._woken.set()

    async def run(self) -> NoReturn:
        """Update the stack now, and whenever something changes, until this is cancelled.

        Raises:
            KubeRegistryError: the stack does not exist, or `pulumi` cannot read it.
        """
        await self._target.prepare()
        with suppress(SettingsError):  # the first update reports it
            self.images = await self._target.images(())
        while True:
            self._woken.clear()
            now = await self._look()
            changed = changes(self._done, now, self._target.folder) if self._done else ["start"]
            if changed or self._wish or self._due():
                await self._update(now, changed)
            else:
                await self._wait()

    async def _look(self) -> Snapshot:
        """Return the current files, and watch where new ones may appear."""
        self._hashes = Hashes(self._hashes.current)
        known = self._target.roots, self._target.name, self.images, self._hashes
        now = await asyncio.to_thread(take_snapshot, *known)
        self._watch.want(self._target.name, now.folders)
        return now

    def _due(self) -> bool:
        """Return whether it is time for a full refresh; a stack that has failed waits for a change."""
        return not self._failed and time.monotonic() >= self._refreshed + REFRESH_SECONDS

    async def _wait(self) -> None:
        """Wait until something happens, or a full refresh is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if self._failed else self._refreshed + REFRESH_SECONDS):
                await self._woken.wait()

    async def _update(self, now: Snapshot, changed: Sequence[str]) -> None:
        began, (wish, self._wish) = time.monotonic(), (self._wish, Wish.NOTHING)
        refresh = self._failed or Wish.REFRESH in wish or self._done is None or self._due()
        rebuilt = [image.urn for image in self.images.values()] if Wish.REBUILD in wish else []
        cause = lines.cause(changed) or ("rebuild" if Wish.REBUILD in wish else "refresh")
        update = Update(
            self._target.name,
            lambda: time.monotonic() - began,
            lambda event: self._show(f"{cause}: {event.phase}: {event.text}"),
        )
        self._show(cause)
        self._address = None if refresh else self._address  # the cluster may be another one
        try:
            if self._done and self._done.program != now.program:
                await self._target.prepare()
                now = await self._look()  # prepare() may have written the stack's config
            deployment = self._deploy(update, f"registryctl dev: {cause}", refresh=refresh, replaced=rebuilt)
            _, superseded = await first_of_two(deployment, self._superseded(update, cause, now))
        except StackLockedError as error:
            self._wish |= wish
            await self._wait_for_lock(error)
        except (CommandError, KubeRegistryError) as error:
            self._failed = True
            await self._find_images(update, now)
            self._say(f"{cause}: failed after {time.monotonic() - began:.1f} s\n{update.failure or error}")
        else:
            self._failed = bool(superseded)
            await self._find_images(update, now)
            if superseded:
                self._say(f"{cause}: ended by a change, after {time.monotonic() - began:.1f} s without ready pods")
                return
            self._refreshed = began if refresh else self._refreshed
            await self._report(update, cause, began, quiet=not (changed or wish))
        finally:
            self._show(None)

    async def _deploy(self, update: Update, message: str, *, refresh: bool, replaced: Sequence[str]) -> None:
        program, stack = self._target.program, self._target.name

        async def release() -> None:
            try:
                await replace(program, seconds=RELEASE_SECONDS, grace=0).release(stack)
            except (CommandError, KubeRegistryError):
                self._say(add_fix(f"stack {stack} is still locked", f"`{release_command(stack)}`"))

        await program.deploy("up", stack, message, update.record, release, refresh=refresh, replace=replaced)

    async def _superseded(self, update: Update, cause: str, now: Snapshot) -> bool:
        """Report pods that do not become ready and that an update waits for, then wait for a change; return True.

        Pulumi waits for ten minutes for such pods, and the change may be what corrects them.
        """

        async def awaited() -> Mapping[str, str] | None:
            return update.awaited or None

        missing = await poll(awaited, seconds=math.inf, pause=_AWAITED_PAUSE) or {}
        self.workloads = update.workloads
        text = lines.not_ready(missing, await self._troubles())
        self._say(f"{cause}: {text}; the next change ends this update")
        await self._next_change(now)
        return True

    async def _troubles(self) -> Sequence[str]:
        """Return why pods with the newest images do not run; nothing if they do not say."""
        with suppress(KubeRegistryError):
            async with open_client(await self.address()) as kube:
                return await pod_troubles(kube, self.workloads)
        return ()

    async def _wait_for_lock(self, error: StackLockedError) -> None:
        """Report once who has locked the stack, and wait before the next attempt; nothing counts as deployed."""
        if error.holder != self._locked:
            self._locked = error.holder
            self._say(f"waiting: {error}")
        await asyncio.sleep(LOCKED_SECONDS)

    async def _find_images(self, update: Update, now: Snapshot) -> None:
        """Record what was deployed; if the program has changed, find out how its images are built now."""
        known, folder = self.images, self._target.folder
        if self._done is None or self._done.program != now.program:
            with suppress(KubeRegistryError):  # the update has reported it
                found = await self._target.images(tuple(update.resources.values()))
                self.images = {**self.images, **found} if self._failed else found
            self._address = None
        deployed = {}
        for name, source in self.images.items():
            if name in now.images and source.same_build(known[name]):
                deployed[name] = now.images[name]
            else:  # a failed update is not tried again until something changes, whatever tag it has deployed before
                new = replace(source, tag=None) if self._failed else source
                deployed[name] = await asyncio.to_thread(deployed_files, folder, new)
        self._done = replace(now, images=deployed)

    async def _report(self, update: Update, cause: str, began: float, *, quiet: bool) -> None:
        """Print the line of an update that succeeded, as soon as the pods run the new images."""
        self.workloads = update.workloads
        pods = await self._new_pods(update) if update.built else None
        if update.progress.changes or not quiet:
            ended = pods.seen if pods else time.monotonic()
            self._say(f"{cause}: {lines.result(update, pods, ended - began)}")
        if self.images:
            with suppress(KubeRegistryError):  # read ahead for the next update, which reports the error
                await self.address()

    async def _new_pods(self, update: Update) -> Pods | None:
        """Wait for the pods of the stack that run the new images; None if it has none, or something changes first."""
        workloads = workloads_with(update.built.values(), update.resources.values())
        if not workloads:
            return None
        try:
            async with open_client(await self.address()) as kube:
                pods, _ = await first_of_two(wait_for_pods(kube, workloads), self._next_change(self._done))
        except KubeRegistryError as error:
            self._address = None
            return Pods((), str(error))
        return pods

    async def _next_change(self, deployed: Snapshot | None) -> None:
        """Wait until there is something to do for the next update, and leave it to that."""
        while not (self._wish or (deployed and changes(deployed, await self._look(), self._target.folder))):
            await self._woken.wait()
            self._woken.clear()
        self._woken.set()
