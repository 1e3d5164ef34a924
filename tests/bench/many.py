"""The table of a registry that holds much: how long a person waits for what is in it.

Five hundred images of ten layers of their own, in fifty repositories, pushed with nothing but the registry's API.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from kube_registry.concurrency import map_limited
from kube_registry.registry.api import RegistryClient
from kube_registry.registry.probe_image import probe_config
from lab.commands import run_logged
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT
from tests.bench import edits, table
from tests.bench.life import COMMAND_SECONDS, LOG, Lab, Life, begin, end, expect, run_module, seconds
from tests.bench.places import STACK, copy_ours, settings
from tests.fakes.writing import pushing

IMAGES, LAYERS, REPOSITORIES = 500, 10, 50
LAYER = 4096
"""Bytes of a layer: what is waited for here goes by the number of blobs."""

LARGE, LARGE_LAYERS = 1_000_000_000, 10
"""Bytes of an image that stands alone in the registry at first, and into how many layers they go."""

HEAD = ("registry", "what", "s")
MANY = f"{IMAGES} images of {LAYERS} layers"
ROWS = (
    ("1 GB in ten layers", "`registryctl verify`", ("verify",)),
    (MANY, "`registryctl images`", ("images",)),
    (MANY, "`registryctl gc --dry-run`", ("gc", "--keep", "1", "--dry-run")),
    (MANY, "`registryctl verify`", ("verify",)),
)


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """The lines of the table; the first is its head."""
    with tempfile.TemporaryDirectory(prefix="kube-registry-bench-") as folder:
        life = Life("kube-registry", copy_ours(Path(folder) / "ours"), Path(folder) / "state", edits.of_ours)
        try:
            begin(life)
            expect(
                {"created"}, run_module("tests.bench.demo", life.project, life.backend, life.backend / "phases.json")
            )
            lab = Lab.running(life)
            return [HEAD, *_lines(lab, repetitions, progress)]
        finally:
            end()


def _lines(lab: Lab, repetitions: int, progress: Progress) -> Iterator[tuple[str, ...]]:
    fill = {ROWS[0][0]: _push_large, MANY: _push_many}
    for registry, what, words in ROWS:
        if work := fill.pop(registry, None):
            with progress.running(registry, "pushing"):
                asyncio.run(_pushed(work))
        with progress.running(registry, f"measuring {what}"):
            yield registry, what, table.spread([seconds(partial(_run, lab, words)) for _ in range(repetitions)])


async def _pushed(work: Callable[[RegistryClient], Awaitable[object]]) -> None:
    async with pushing(settings()) as registry:
        await work(registry)


async def _push_large(registry: RegistryClient) -> None:
    layers = [os.urandom(LARGE // LARGE_LAYERS) for _ in range(LARGE_LAYERS)]
    await registry.put_image("large", "v1", probe_config(settings().platform), *layers)


async def _push_many(registry: RegistryClient) -> None:
    config = probe_config(settings().platform)

    async def push(number: int) -> None:
        layers = [os.urandom(LAYER) for _ in range(LAYERS)]
        await registry.put_image(f"many/{number % REPOSITORIES}", f"v{number // REPOSITORIES}", config, *layers)

    await map_limited(push, range(IMAGES), at_once=16)


def _run(lab: Lab, words: Sequence[str]) -> None:
    command = [sys.executable, "-m", "registryctl", *words, "--stack", STACK]
    env = {**lab.env, "PYTHONPATH": str(CHECKOUT)}
    run_logged(command, log=LOG, limit=COMMAND_SECONDS, cwd=lab.life.project, env=env)
