"""Warm runs for tests that are not coroutines: fork servers whose event loop runs in a thread, and registryctl's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal

from kube_registry.engine.warm import WarmRuns, warm_runs
from tests.forks import Forks, forks


@dataclass(frozen=True)
class Warm:
    """Fork servers of the tests' programs, and of registryctl in the programs' folders."""

    portal: BlockingPortal
    runs: WarmRuns
    commands: Forks

    @contextmanager
    def serving(self, folder: Path, env: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
        """Serve one run of a program: the options of `pulumi` for it."""
        with self.portal.wrap_async_context_manager(self.runs.serving(folder, env)) as options:
            yield options


@contextmanager
def warm_programs() -> Iterator[Warm]:
    """Fork servers that end with the block; a run that would be cold fails, because it would be slow unseen."""

    def refuse(line: str) -> None:
        raise AssertionError(line)

    with (
        forks() as commands,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(warm_runs(refuse)) as runs,
    ):
        yield Warm(portal, runs, commands)
