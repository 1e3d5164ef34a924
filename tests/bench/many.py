"""The table of a registry that holds much: how long a person waits for what is in it.

Five hundred images of ten layers of their own, in fifty repositories, pushed with nothing but the registry's API.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cluster.kube import open_client
from cluster.probe_image import probe_config
from cluster.registry import RegistryClient
from cluster.several import several
from housekeeping.inventory import write_door
from lab.commands import run_logged
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT
from tests.bench import edits
from tests.bench.life import COMMAND_SECONDS, LOG, Lab, Life, begin, end, expect, run_module, seconds
from tests.bench.places import STACK, copy_ours, settings

IMAGES, LAYERS, REPOSITORIES = 500, 10, 50
LAYER = 4096
"""Bytes of a layer: what is waited for here goes by the number of blobs."""

HEAD = (f"registry of {IMAGES} images of {LAYERS} layers", "s")
VERBS = {"`registryctl images`": ("images",), "`registryctl gc --dry-run`": ("gc", "--keep", "1", "--dry-run")}


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
            with progress.running("many images", "pushing"):
                asyncio.run(_fill())
            with progress.running("many images", "measuring"):
                samples = [[seconds(partial(_run, lab, words)) for _ in range(repetitions)] for words in VERBS.values()]
        finally:
            end()
    return [HEAD, *((verb, _spread(values)) for verb, values in zip(VERBS, samples, strict=True))]


async def _fill() -> None:
    async with open_client(settings()) as kube, write_door(kube) as registry:
        await several(lambda number: _push(registry, number), range(IMAGES), at_once=16)


async def _push(registry: RegistryClient, number: int) -> None:
    layers = [os.urandom(LAYER) for _ in range(LAYERS)]
    config = probe_config(settings().platform)
    await registry.put_image(f"many/{number % REPOSITORIES}", f"v{number // REPOSITORIES}", config, *layers)


def _run(lab: Lab, words: Sequence[str]) -> None:
    command = [sys.executable, "-m", "registryctl", *words, "--stack", STACK]
    env = {**lab.env, "PYTHONPATH": str(CHECKOUT)}
    run_logged(command, log=LOG, limit=COMMAND_SECONDS, cwd=lab.life.project, env=env)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
