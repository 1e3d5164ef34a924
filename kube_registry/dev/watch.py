"""Wake the loops of all stacks when something changes in the folders that they watch."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles._rust_notify import RustNotify

from kube_registry.concurrency import together
from kube_registry.dev.errors import WatchError
from kube_registry.text import last_words

_STEP_MS = 20
"""How often the watcher looks for events, in milliseconds."""

_QUIET_MS, _BURST_SECONDS = 60, 1.5
"""Events are one change until there is none for the first, in milliseconds, and at most for the second."""


@dataclass
class Watch:
    """One watcher for all stacks: folders are watched one by one, without the folders in them.

    Attributes:
        wanted: name of a stack -> folders to watch.
        woken: name of a stack -> event that is set when it is worth looking at its files.
        restart: is set when the watcher has to be replaced.
    """

    wanted: dict[str, frozenset[Path]] = field(default_factory=dict)
    woken: dict[str, asyncio.Event] = field(default_factory=dict)
    restart: threading.Event = field(default_factory=threading.Event)

    def join(self, stack: str) -> asyncio.Event:
        """Return the event that wakes the loop of a stack."""
        return self.woken.setdefault(stack, asyncio.Event())

    def want(self, stack: str, folders: Iterable[Path]) -> None:
        """Watch other folders for a stack; its loop is woken once they are watched."""
        wanted = frozenset(folders)
        if self.wanted.get(stack) != wanted:
            self.wanted[stack] = wanted
            self.restart.set()

    def wake(self) -> None:
        """Wake the loops of all stacks."""
        for woken in self.woken.values():
            woken.set()

    async def run(self) -> None:
        """Watch until this is cancelled."""
        try:
            while True:
                self.restart = threading.Event()
                folders = frozenset[Path]().union(*self.wanted.values())
                watcher = _watcher(folders)
                self.wake()  # a change may have preceded the watcher
                while not self.restart.is_set():
                    if seen := await asyncio.to_thread(_next_burst, watcher, self.restart):
                        if seen & folders:
                            self.restart.set()  # a folder was deleted or replaced, and with it what watched it
                        self.wake()
                watcher.close()
        finally:
            self.restart.set()  # ends the thread


def _next_burst(watcher: RustNotify, stop: threading.Event) -> frozenset[Path]:
    """Wait for events; return the paths of all that follow each other closely, none if it was stopped."""
    paths, timeout, ends = set[str](), 0, 0.0
    while isinstance(seen := watcher.watch(_STEP_MS, _STEP_MS, timeout, stop), set):
        ends = ends or time.monotonic() + _BURST_SECONDS
        timeout = _QUIET_MS
        paths |= {path for _, path in seen}
        if time.monotonic() > ends:
            break
    return frozenset(map(Path, paths))


def _watcher(folders: frozenset[Path]) -> RustNotify:
    """Watch the folders that exist and can be read; the parents of missing ones are among them."""
    existing = [str(folder) for folder in folders if os.access(folder, os.R_OK) and folder.is_dir()]
    try:
        return RustNotify(
            existing,
            debug=False,
            force_polling=False,
            poll_delay_ms=0,
            recursive=False,
            ignore_permission_denied=False,  # it would ignore a reached limit, too
        )
    except FileNotFoundError:  # one was deleted at this moment
        return _watcher(folders)
    except OSError as error:
        raise WatchError(str(len(existing)), last_words(str(error).partition(" about ")[0])) from error


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Watch folders while a block runs.

    Raises:
        WatchError: there are more folders than the system allows to watch.
    """
    watch = Watch()
    async with together() as group:
        running = group.create_task(watch.run())
        yield watch
        running.cancel()
