"""The run of `registryctl dev`: a loop for each stack, what they print, and the keys."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

from kube_registry.cli.dev_screen import Screen, screen
from kube_registry.cli.dev_targets import find_names, target_of
from kube_registry.cli.interrupts import until_interrupted
from kube_registry.cli.keys import has_keys, on_keys
from kube_registry.cli.session import console
from kube_registry.concurrency import together
from kube_registry.dev.loop import Loop
from kube_registry.dev.watch import watching
from kube_registry.dev.wish import Wish
from kube_registry.dev.workloads import read_logs
from kube_registry.engine.program import Program
from kube_registry.engine.warm import warm_runs
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import open_client

GRACE_SECONDS = 0.6
"""How long `pulumi` may take to end after Ctrl-C before it is killed: a user waits for it at the keyboard."""

LOG_LINES = 20
"""How many of its last lines a key shows of each container."""

_KEYS = "keys: b builds all images again, r refreshes, l shows the logs of the new pods, q quits"


async def run(stack: str | None, glob: str | None) -> None:
    """Update stacks until Ctrl-C or the key q.

    Args:
        stack: name of a stack; the selected one if None.
        glob: names of several stacks instead.

    Raises:
        KubeRegistryError: a stack does not exist, `pulumi` cannot read it, fleet.yaml is not valid, or there are more
            folders than the system allows to watch.
    """
    async with until_interrupted():
        folder = Path.cwd()
        names = await find_names(stack, glob, folder)
        with ExitStack() as closing:
            shown = closing.enter_context(screen(console(), named=len(names) > 1))
            async with warm_runs(partial(shown.say, "")) as warm, watching() as watch, together() as group:
                program = Program(folder, grace=GRACE_SECONDS, warm=warm)
                loops = [
                    Loop(
                        target_of(name, program, configured=glob is not None),
                        watch,
                        partial(shown.say, name),
                        partial(shown.show, name),
                    )
                    for name in names
                ]
                for loop in loops:
                    group.create_task(loop.run())
                for_keys = on_keys(_actions(loops, shown, group)) if has_keys() else nullcontext()
                closing.enter_context(for_keys)
                shown.say("", f"watching {folder} for {', '.join(names)}; {_KEYS if has_keys() else 'Ctrl-C quits'}")


def _actions(loops: Sequence[Loop], shown: Screen, group: asyncio.TaskGroup) -> dict[str, Callable[[], object]]:
    def ask(wish: Wish) -> None:
        for loop in loops:
            loop.ask(wish)

    def show_logs() -> None:
        group.create_task(_show_logs(loops, shown))

    return {
        "b": partial(ask, Wish.REBUILD),
        "r": partial(ask, Wish.REFRESH),
        "l": show_logs,
        "q": partial(os.kill, os.getpid(), signal.SIGINT),
    }


async def _show_logs(loops: Sequence[Loop], shown: Screen) -> None:
    """Print the last lines of the pods that run the newest images of each stack."""
    for loop in loops:
        try:
            printed = list[str]()
            if loop.workloads:
                async with open_client(await loop.address()) as kube:
                    printed = await read_logs(kube, loop.workloads, lines=LOG_LINES)
            shown.say(loop.name, "\n".join(printed) or "no pod of this stack runs its newest images")
        except KubeRegistryError as error:
            shown.say(loop.name, str(error))
