"""Wake the loops of all stacks when something changes in the folders that they watch."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles._rust_notify import RustNotify

from kube_registry.concurrency import together

_BURST_MS, _QUIET_MS = 1600, 50
"""Changes are one change until nothing happens for the second, at most for the first, in milliseconds."""


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
                    seen = await asyncio.to_thread(watcher.watch, _BURST_MS, _QUIET_MS, 0, self.restart)
                    if isinstance(seen, set):
                        if any(Path(path) in folders for _, path in seen):
                            self.restart.set()  # a folder was deleted or replaced, and with it what watched it
                        self.wake()
                watcher.close()
        finally:
            self.restart.set()  # ends the thread


def _watcher(folders: frozenset[Path]) -> RustNotify:
    """Watch the folders that exist; the parents of missing ones are among them."""
    return RustNotify(
        [str(folder) for folder in folders if folder.is_dir()],
        debug=False,
        force_polling=False,
        poll_delay_ms=0,
        recursive=False,
        ignore_permission_denied=True,
    )


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    """Watch folders while a block runs.

    Raises:
        OSError: there are more folders than the system allows to watch.
    """
    watch = Watch()
    async with together() as group:
        running = group.create_task(watch.run())
        yield watch
        running.cancel()
